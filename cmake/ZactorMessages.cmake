# zactor_add_messages(<target> <file.proto>... [IMPORT_DIRS <dir>...])
#
# Makes <file>.za.h and <file>.za.c of each .proto and compiles them into <target>, which may include
# "<file>.za.h". Bounds of fields stand in <file>.options beside <file>.proto. A .proto below one of
# IMPORT_DIRS is named by its path from there, any other by its file name alone.
# Works in this tree and for users of the installed package.

find_package(nanopb 0.4.7 REQUIRED CONFIG)
find_program(ZACTOR_PROTOC protoc REQUIRED)
mark_as_advanced(ZACTOR_PROTOC)

# In the cache, because a project that adds this tree as a subdirectory calls from its own scope.
get_filename_component(zactor_above ${CMAKE_CURRENT_LIST_DIR} DIRECTORY)
if(EXISTS ${zactor_above}/tools/protoc-gen-zactor)
  set(ZACTOR_GENERATOR ${zactor_above}/tools/protoc-gen-zactor CACHE INTERNAL "")
  set(ZACTOR_PROTO_DIR ${zactor_above}/proto CACHE INTERNAL "")
else()
  # Installed: this is <prefix>/lib/.../cmake/zactor; <prefix>/bin and <prefix>/share/zactor/proto.
  set(ZACTOR_PROTO_DIR "" CACHE INTERNAL "")
  foreach(step RANGE 5)
    if(EXISTS ${zactor_above}/share/zactor/proto/zactor/ref.proto)
      set(ZACTOR_PROTO_DIR ${zactor_above}/share/zactor/proto CACHE INTERNAL "")
      set(ZACTOR_GENERATOR ${zactor_above}/bin/protoc-gen-zactor CACHE INTERNAL "")
      break()
    endif()
    get_filename_component(zactor_above ${zactor_above} DIRECTORY)
  endforeach()
  if(NOT ZACTOR_PROTO_DIR OR NOT EXISTS ${ZACTOR_GENERATOR})
    message(FATAL_ERROR "zactor: bin/protoc-gen-zactor and share/zactor/proto are not installed above "
                        "${CMAKE_CURRENT_LIST_DIR}")
  endif()
endif()

# The command that makes <out>/<stem>.za.{h,c} of <root>/<stem>.proto; `extra` is further plugin options.
function(zactor_generate root stem out dirs extra result)
  # By name, as protoc lists them: ninja wants the first one first in the depfile, or always makes all.
  set(outputs ${out}/${stem}.za.c ${out}/${stem}.za.h)
  if("pb" IN_LIST extra)
    list(PREPEND outputs ${out}/${stem}.pb.h)
  endif()
  # All that lie there: a bound of an imported message changes what is made of this one. And one that
  # is not there yet is looked for at each build.
  get_filename_component(folder ${root}/${stem}.proto DIRECTORY)
  file(GLOB options CONFIGURE_DEPENDS ${folder}/*.options)
  set(flags)
  foreach(dir IN LISTS dirs)
    list(APPEND flags -I${dir} --zactor_opt=I=${dir})
  endforeach()
  foreach(option IN LISTS extra)
    list(APPEND flags --zactor_opt=${option})
  endforeach()
  string(MAKE_C_IDENTIFIER ${stem} id)
  add_custom_command(OUTPUT ${outputs}
    COMMAND ${CMAKE_COMMAND} -E make_directory ${out}
    COMMAND ${ZACTOR_PROTOC} ${flags} --plugin=protoc-gen-zactor=${ZACTOR_GENERATOR}
            --dependency_out=${out}/${id}.d --zactor_out=${out} ${root}/${stem}.proto
    DEPENDS ${root}/${stem}.proto ${options} ${ZACTOR_GENERATOR}
    DEPFILE ${out}/${id}.d COMMENT "Messages of ${stem}.proto" VERBATIM)
  set(${result} ${outputs} PARENT_SCOPE)
endfunction()

function(zactor_add_messages target)
  cmake_parse_arguments(A "" "" "IMPORT_DIRS" ${ARGN})
  set(out ${CMAKE_CURRENT_BINARY_DIR}/${target}.za)
  set(imports)
  foreach(dir IN LISTS A_IMPORT_DIRS)
    get_filename_component(dir ${dir} ABSOLUTE)
    list(APPEND imports ${dir})
  endforeach()
  set(all)
  foreach(proto IN LISTS A_UNPARSED_ARGUMENTS)
    get_filename_component(proto ${proto} ABSOLUTE)
    if(NOT EXISTS ${proto})
      message(FATAL_ERROR "zactor_add_messages(${target}): there is no ${proto}")
    endif()
    get_filename_component(root ${proto} DIRECTORY)
    foreach(dir IN LISTS imports)
      file(RELATIVE_PATH below ${dir} ${proto})
      if(NOT below MATCHES "^\\.\\./")
        set(root ${dir})
        break()
      endif()
    endforeach()
    file(RELATIVE_PATH stem ${root} ${proto})
    string(REGEX REPLACE "\\.proto$" "" stem ${stem})
    set(dirs ${root} ${imports} ${ZACTOR_PROTO_DIR})
    list(REMOVE_DUPLICATES dirs)
    zactor_generate(${root} ${stem} ${out} "${dirs}" "" outputs)
    list(APPEND all ${outputs})
  endforeach()
  target_sources(${target} PRIVATE ${all})
  target_include_directories(${target} PUBLIC $<BUILD_INTERFACE:${out}>)
  get_target_property(nanopb_dirs nanopb::protobuf-nanopb-static INTERFACE_INCLUDE_DIRECTORIES)
  target_include_directories(${target} SYSTEM PRIVATE ${nanopb_dirs}) # pb.h, for the .za.c alone
  if(TARGET zactor_system_messages) # in the tree; users have the headers of zactor::zactor
    get_target_property(dirs zactor_system_messages INTERFACE_INCLUDE_DIRECTORIES)
    foreach(dir IN LISTS dirs)
      target_include_directories(${target} PUBLIC $<BUILD_INTERFACE:${dir}>)
    endforeach()
    add_dependencies(${target} zactor_system_messages)
  endif()
endfunction()
