# One static library per folder. A folder's headers are seen as "<folder>/<name>.h" and only by the
# folders that name it in USES: each library gets a directory of links to its own headers, and a
# source file is compiled with the directories of its own folder and of those it may know. An
# include that the design forbids therefore does not compile.
#
#   vmdeck_folder(<folder> USES <folder>… [LINK <imported target>…])
function(vmdeck_folder folder)
  cmake_parse_arguments(ARG "" "" "USES;LINK" ${ARGN})
  string(REPLACE "/" "_" name ${folder})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${folder}/*.c
                                      ${CMAKE_SOURCE_DIR}/${folder}/*.S)
  list(FILTER sources EXCLUDE REGEX "/main\\.c$")
  vmdeck_headers(${folder})
  if(NOT sources)
    return()
  endif()
  add_library(${name} STATIC ${sources})
  target_include_directories(${name} PUBLIC ${CMAKE_BINARY_DIR}/headers/${folder})
  foreach(used ${ARG_USES})
    string(REPLACE "/" "_" used_name ${used})
    target_link_libraries(${name} PUBLIC ${used_name})
  endforeach()
  target_link_libraries(${name} PUBLIC ${ARG_LINK})
endfunction()

# Links to the headers of a folder, or only those named behind it.
function(vmdeck_headers folder)
  set(to ${CMAKE_BINARY_DIR}/headers/${folder})
  file(REMOVE_RECURSE ${to}/${folder})
  file(MAKE_DIRECTORY ${to}/${folder})
  if(ARGN)
    list(TRANSFORM ARGN PREPEND ${CMAKE_SOURCE_DIR}/${folder}/ OUTPUT_VARIABLE headers)
  else()
    file(GLOB headers CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${folder}/*.h)
  endif()
  foreach(header ${headers})
    get_filename_component(file ${header} NAME)
    file(CREATE_LINK ${header} ${to}/${folder}/${file} SYMBOLIC)
  endforeach()
endfunction()
