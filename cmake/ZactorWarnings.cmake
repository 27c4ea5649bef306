# Compiler settings of every target of this project; users of the library inherit none of them.
add_library(zactor_flags INTERFACE)
target_compile_options(zactor_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla
  -Wpointer-arith -Wundef -Wformat=2 -Wimplicit-fallthrough -Wenum-conversion
  -ffile-prefix-map=${PROJECT_SOURCE_DIR}=. -fno-omit-frame-pointer)
target_compile_definitions(zactor_flags INTERFACE _GNU_SOURCE $<$<CONFIG:Debug>:ZA_SLOW_CHECKS>)
if(CMAKE_C_COMPILER_ID STREQUAL "Clang")
  # A compound literal in a macro argument (ZA_MSG) is the interface's shape, not a mistake.
  target_compile_options(zactor_flags INTERFACE -Wno-missing-field-initializers)
endif()
if(ZACTOR_WERROR)
  target_compile_options(zactor_flags INTERFACE -Werror)
endif()
if(ZACTOR_SANITIZE)
  target_compile_options(zactor_flags INTERFACE -fsanitize=${ZACTOR_SANITIZE} -fno-sanitize-recover=all)
  target_link_options(zactor_flags INTERFACE -fsanitize=${ZACTOR_SANITIZE})
endif()
if(ZACTOR_COVERAGE) # atomic: tests have threads, and counts that race come out negative
  target_compile_options(zactor_flags INTERFACE --coverage -fprofile-update=atomic)
  target_link_options(zactor_flags INTERFACE --coverage)
endif()
