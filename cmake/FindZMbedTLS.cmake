# mbedTLS 2.28 or 3.6 as one target, ZMbedTLS::ZMbedTLS: tls, x509 and crypto in link order.
# Debian 12 ships neither a CMake config nor a .pc; Debian 13 ships both, but one of its .pc files
# alone does not link calls of x509. So: the config where there is one, else headers and libraries.
include(FindPackageHandleStandardArgs)

find_package(MbedTLS CONFIG QUIET)
if(TARGET MbedTLS::mbedtls AND TARGET MbedTLS::mbedx509 AND TARGET MbedTLS::mbedcrypto)
  set(ZMbedTLS_VERSION ${MbedTLS_VERSION})
  set(ZMbedTLS_LIBRARIES MbedTLS::mbedtls MbedTLS::mbedx509 MbedTLS::mbedcrypto)
  get_target_property(ZMbedTLS_INCLUDE_DIR MbedTLS::mbedtls INTERFACE_INCLUDE_DIRECTORIES)
  if(NOT ZMbedTLS_INCLUDE_DIR)
    set(ZMbedTLS_INCLUDE_DIR ${CMAKE_INSTALL_FULL_INCLUDEDIR})
  endif()
else()
  find_path(ZMbedTLS_INCLUDE_DIR mbedtls/ssl.h)
  find_library(ZMbedTLS_TLS_LIBRARY mbedtls)
  find_library(ZMbedTLS_X509_LIBRARY mbedx509)
  find_library(ZMbedTLS_CRYPTO_LIBRARY mbedcrypto)
  mark_as_advanced(ZMbedTLS_INCLUDE_DIR ZMbedTLS_TLS_LIBRARY ZMbedTLS_X509_LIBRARY
                   ZMbedTLS_CRYPTO_LIBRARY)
  if(ZMbedTLS_TLS_LIBRARY AND ZMbedTLS_X509_LIBRARY AND ZMbedTLS_CRYPTO_LIBRARY)
    set(ZMbedTLS_LIBRARIES ${ZMbedTLS_TLS_LIBRARY} ${ZMbedTLS_X509_LIBRARY}
                           ${ZMbedTLS_CRYPTO_LIBRARY})
  endif()
  # 2.28 has the version in version.h, 3.x in build_info.h.
  foreach(header version.h build_info.h)
    if(ZMbedTLS_INCLUDE_DIR AND EXISTS ${ZMbedTLS_INCLUDE_DIR}/mbedtls/${header})
      file(STRINGS ${ZMbedTLS_INCLUDE_DIR}/mbedtls/${header} version_line
           REGEX "define MBEDTLS_VERSION_STRING +\"")
      if(version_line)
        string(REGEX REPLACE ".*\"([^\"]+)\".*" "\\1" ZMbedTLS_VERSION "${version_line}")
      endif()
    endif()
  endforeach()
endif()

find_package_handle_standard_args(ZMbedTLS
  REQUIRED_VARS ZMbedTLS_LIBRARIES ZMbedTLS_INCLUDE_DIR
  VERSION_VAR ZMbedTLS_VERSION)

if(ZMbedTLS_FOUND AND NOT TARGET ZMbedTLS::ZMbedTLS)
  add_library(ZMbedTLS::ZMbedTLS INTERFACE IMPORTED)
  target_link_libraries(ZMbedTLS::ZMbedTLS INTERFACE ${ZMbedTLS_LIBRARIES})
  if(NOT TARGET MbedTLS::mbedtls)
    target_include_directories(ZMbedTLS::ZMbedTLS SYSTEM INTERFACE ${ZMbedTLS_INCLUDE_DIR})
  endif()
endif()
