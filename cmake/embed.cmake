# Files that a program carries in itself, such as a page that it serves.
#
#   edgellm_embed(TARGET FILE SYMBOL TYPE)
#
# adds to TARGET the constant `const el_embedded SYMBOL` (src/server/embedded.h), with the bytes of
# FILE and its media type TYPE. It is made again whenever FILE changes, in the build directory; this
# file is run as a script for that.
if(NOT CMAKE_SCRIPT_MODE_FILE STREQUAL CMAKE_CURRENT_LIST_FILE)
  set(EDGELLM_EMBED_SCRIPT ${CMAKE_CURRENT_LIST_FILE})
  function(edgellm_embed target file symbol type)
    get_filename_component(file "${file}" ABSOLUTE BASE_DIR ${PROJECT_SOURCE_DIR})
    set(source ${PROJECT_BINARY_DIR}/embedded/${symbol}.c)
    add_custom_command(OUTPUT ${source}
        COMMAND ${CMAKE_COMMAND} "-DFILE=${file}" -DSYMBOL=${symbol} "-DTYPE=${type}"
                "-DSOURCE=${source}"
                -P ${EDGELLM_EMBED_SCRIPT}
        DEPENDS ${file} ${EDGELLM_EMBED_SCRIPT} VERBATIM)
    add_custom_target(embedded_${symbol} DEPENDS ${source})
    if(NOT TARGET embedded) # all of them: what only reads sources needs these too
      add_custom_target(embedded)
    endif()
    add_dependencies(embedded embedded_${symbol})
    add_dependencies(${target} embedded_${symbol})
    target_sources(${target} PRIVATE ${source})
  endfunction()
  return()
endif()

file(READ "${FILE}" bytes HEX)
string(LENGTH "${bytes}" digits)
math(EXPR length "${digits} / 2")
if(length EQUAL 0)
  message(FATAL_ERROR "${FILE} is empty: there is nothing to embed")
endif()
string(REGEX REPLACE "(..)" "0x\\1," bytes "${bytes}")
string(REPEAT "." 100 line) # 20 bytes
string(REGEX REPLACE "(${line})" "\\1\n    " bytes "${bytes}")
get_filename_component(name "${FILE}" NAME)
file(WRITE "${SOURCE}" "/* ${name}, by cmake/embed.cmake */
#include \"server/embedded.h\"

static const unsigned char bytes[${length}] = {
    ${bytes}};

const el_embedded ${SYMBOL} = {\"${TYPE}\", bytes, ${length}};
")
