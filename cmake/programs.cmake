# The programs. `edgellm` needs jansson and, for line editing, libedit; `edgellm-quantize`, which it
# starts for `edgellm quantize`, needs OpenBLAS and LAPACKE too; `edgellm-serve`, for `edgellm serve`,
# needs libwebsockets and OpenSSL; `edgellm-bench-http`, which `edgellm bench` starts for servers, needs libcurl.
# `edgellm-pull`, for `edgellm pull`, needs libcurl, libarchive and OpenSSL.
# `edgellm-batch`, for `edgellm batch`, needs jansson alone; it is a program of its own because a board
# that only answers has no use for it.
include(cmake/embed.cmake)
find_package(PkgConfig REQUIRED)
pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson)

# Where programs that `edgellm` starts are installed, seen from its own folder.
set(EDGELLM_LIBEXECDIR ${CMAKE_INSTALL_LIBEXECDIR}/edgellm)
file(RELATIVE_PATH libexec ${CMAKE_INSTALL_FULL_BINDIR} ${CMAKE_INSTALL_FULL_LIBEXECDIR}/edgellm)
add_library(edgellm_cli_flags INTERFACE)
target_link_libraries(edgellm_cli_flags INTERFACE edgellm_flags PkgConfig::JANSSON)
target_link_options(edgellm_cli_flags INTERFACE ${EDGELLM_SHARED_LINK}) # cmake/sysroot.cmake
target_compile_definitions(edgellm_cli_flags INTERFACE EL_CLI_LIBEXEC="${libexec}")

# Nothing of the programs themselves is worth its room on a board of 256 MB: small, not fast, and without the tables
# by which C++'s exceptions would find their way through (a debugger has its own).
set(optimise_programs $<$<CONFIG:Release,RelWithDebInfo>:-Os>)
if(EDGELLM_SANITIZE)
  # Nor is it worth the time to compile it, which is half without; and nothing that is looked for is optimised away.
  set(optimise_programs $<$<CONFIG:RelWithDebInfo>:-O0>)
endif()
set(small ${optimise_programs}
          $<$<CONFIG:Release>:-fno-asynchronous-unwind-tables$<SEMICOLON>-ffunction-sections$<SEMICOLON>-fdata-sections>)

# JSON schema to grammar: base, and jansson, which the core library does without.
file(GLOB schema_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/schema/*.c)
add_library(el_schema OBJECT ${schema_sources})
target_link_libraries(el_schema PRIVATE edgellm_flags PkgConfig::JANSSON)
target_compile_options(el_schema PRIVATE ${small})

# A Hugging Face folder as a source: base format token (names that end answers), and jansson.
file(GLOB folder_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/folder/*.c)
add_library(el_folder OBJECT ${folder_sources})
target_link_libraries(el_folder PRIVATE edgellm_flags PkgConfig::JANSSON)
target_compile_options(el_folder PRIVATE ${small})

# Their sources, each compiled once: what both share, and what is one's own. The fuzzer of arguments
# (tests/fuzz) takes all three, but its own main files.
set(src ${PROJECT_SOURCE_DIR}/src/cli)
set(main_sources ${src}/main.c ${src}/quantize_main.c ${src}/quantize_blas.c ${src}/serve_main.c
                 ${src}/batch_main.c ${src}/pull_main.c)
set(common_sources)
foreach(name board certificate certified external folders lora model options output outputs program
        sensors signals stats store)
  list(APPEND common_sources ${src}/cli_${name}.c)
endforeach()
list(APPEND common_sources ${src}/doctor_tree.c)
set(serve_sources ${src}/cmd_serve.c ${src}/serve_senses.c)
set(batch_sources ${src}/cmd_batch.c)
set(pull_sources ${src}/cmd_pull.c) # its options; the work is pull_*.c
file(GLOB pull_work_sources CONFIGURE_DEPENDS ${src}/pull_*.c)
file(GLOB quantize_sources CONFIGURE_DEPENDS ${src}/cmd_quantize.c ${src}/quantize_*.c)
set(bench_http_sources)
foreach(name client events main ollama openai processes servers)
  list(APPEND bench_http_sources ${src}/bench_http_${name}.c)
endforeach()
file(GLOB core_sources CONFIGURE_DEPENDS ${src}/*.c)
list(REMOVE_ITEM quantize_sources ${main_sources})
list(REMOVE_ITEM core_sources ${main_sources} ${common_sources} ${quantize_sources}
                              ${bench_http_sources} ${serve_sources} ${batch_sources}
                              ${pull_sources} ${pull_work_sources})
list(REMOVE_ITEM pull_work_sources ${src}/pull_main.c)
if(NOT EDGELLM_EDITLINE)
  list(REMOVE_ITEM core_sources ${src}/cli_editline.c)
endif()
add_library(el_cli_common OBJECT ${common_sources})
add_library(el_cli_core OBJECT ${core_sources})
add_library(el_cli_quantize OBJECT ${quantize_sources})
add_library(el_cli_serve OBJECT ${serve_sources})
add_library(el_cli_batch OBJECT ${batch_sources})
add_library(el_cli_pull OBJECT ${pull_sources})
foreach(part common core quantize serve batch pull)
  target_link_libraries(el_cli_${part} PRIVATE edgellm_cli_flags)
  target_compile_options(el_cli_${part} PRIVATE ${small})
endforeach()
set(common_objects $<TARGET_OBJECTS:el_cli_common> $<TARGET_OBJECTS:el_quant>)

# ---- edgellm ----
if(EDGELLM_EDITLINE)
  pkg_check_modules(LIBEDIT IMPORTED_TARGET libedit)
  if(NOT LIBEDIT_FOUND)
    message(FATAL_ERROR "libedit is missing: install it (Debian: apt-get install libedit-dev), or "
                        "build without line editing: cmake -DEDGELLM_EDITLINE=OFF")
  endif()
  target_compile_definitions(el_cli_core PRIVATE EDGELLM_EDITLINE)
  target_link_libraries(el_cli_core PRIVATE PkgConfig::LIBEDIT)
  set(editline_library PkgConfig::LIBEDIT)
endif()
add_executable(edgellm ${src}/main.c $<TARGET_OBJECTS:el_cli_core> ${common_objects}
                       $<TARGET_OBJECTS:el_schema> $<TARGET_OBJECTS:el_folder>)
target_link_libraries(edgellm PRIVATE edgellm_cli_flags edgellm_static ${editline_library} m)
add_custom_target(programs DEPENDS edgellm) # all that a checkout needs to run

# The same, for a board of which nothing is known but its kernel: one file.
if(EDGELLM_CORE)
  include(CheckCSourceCompiles)
  find_library(EDGELLM_JANSSON_ARCHIVE libjansson.a)
  if(NOT EDGELLM_JANSSON_ARCHIVE)
    message(FATAL_ERROR "EDGELLM_CORE needs libjansson.a (Debian: libjansson-dev)")
  endif()
  add_executable(edgellm-core ${src}/main.c ${src}/cli_editor.c ${common_objects}
                              $<TARGET_OBJECTS:el_schema> $<TARGET_OBJECTS:el_folder>
                              $<FILTER:$<TARGET_OBJECTS:el_cli_core>,EXCLUDE,cli_edit>)
  set_target_properties(edgellm-core PROPERTIES OUTPUT_NAME edgellm RUNTIME_OUTPUT_DIRECTORY core)
  target_link_libraries(edgellm-core PRIVATE edgellm_flags edgellm_static
                                             ${EDGELLM_JANSSON_ARCHIVE} m)
  target_compile_options(edgellm-core PRIVATE ${small})
  target_link_options(edgellm-core PRIVATE -static -Wl,--gc-sections)
  # jansson's archive may come from a system with glibc 2.38 or later, whose headers give strtoll() another
  # name: the older one does the same for decimal numbers.
  set(CMAKE_REQUIRED_LIBRARIES ${EDGELLM_JANSSON_ARCHIVE})
  set(CMAKE_REQUIRED_LINK_OPTIONS -static)
  check_c_source_compiles("void *json_loads(const char *, unsigned long, void *);
int main(void) { return json_loads(\"1\", 0, 0) != 0; }" EDGELLM_JANSSON_LINKS)
  if(NOT EDGELLM_JANSSON_LINKS)
    target_link_options(edgellm-core PRIVATE -Wl,--defsym=__isoc23_strtoll=strtoll)
  endif()
endif()

# ---- edgellm-quantize ----
if(EDGELLM_QUANTIZE)
  pkg_search_module(OPENBLAS IMPORTED_TARGET openblas blas-openblas)
  pkg_check_modules(LAPACKE IMPORTED_TARGET lapacke)
  if(NOT OPENBLAS_FOUND OR NOT LAPACKE_FOUND)
    message(FATAL_ERROR "OpenBLAS or LAPACKE is missing: install both (Debian: apt-get install "
                        "libopenblas-dev liblapacke-dev), or build without the quantizer: "
                        "cmake -DEDGELLM_QUANTIZE=OFF")
  endif()
  # The module that learns from calibration text: base kernel format quant offline, and OpenBLAS.
  file(GLOB train_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/train/*.c)
  add_library(el_train OBJECT ${train_sources})
  target_link_libraries(el_train PRIVATE edgellm_flags PkgConfig::LAPACKE PkgConfig::OPENBLAS)
  target_compile_options(el_train PRIVATE -O3) # loops between the products
  if(EDGELLM_COVERAGE) # counted, those loops take minutes
    target_compile_options(el_train PRIVATE -fno-profile-arcs -fno-test-coverage)
  endif()
  add_executable(edgellm-quantize ${src}/quantize_main.c ${src}/quantize_blas.c ${common_objects}
                                  $<TARGET_OBJECTS:el_cli_quantize> $<TARGET_OBJECTS:el_offline>
                                  $<TARGET_OBJECTS:el_train> $<TARGET_OBJECTS:el_folder>)
  target_link_libraries(edgellm-quantize PRIVATE edgellm_cli_flags edgellm_static
                                                 PkgConfig::LAPACKE PkgConfig::OPENBLAS m)
  add_dependencies(programs edgellm-quantize)
endif()

# ---- edgellm-batch ----
# From requests in JSON to answers in JSON, without a network: what the server shares with it.
set(answering_sources)
foreach(name answer ask ask_lists ask_tools calls compute generation grammars histogram json_limits json_room logprobs
             model_name openai_wire out prepare problem reader slots stops tasks tool_grammar tool_layout)
  list(APPEND answering_sources ${PROJECT_SOURCE_DIR}/src/server/${name}.c)
endforeach()
file(GLOB batch_module CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/batch/*.c)
add_library(el_answering OBJECT ${answering_sources})
add_library(el_batch OBJECT ${batch_module})
foreach(part answering batch)
  target_link_libraries(el_${part} PRIVATE edgellm_cli_flags)
  target_compile_options(el_${part} PRIVATE ${optimise_programs})
endforeach()
if(EDGELLM_BATCH)
  add_executable(edgellm-batch ${src}/batch_main.c ${common_objects} $<TARGET_OBJECTS:el_cli_batch>
                               $<TARGET_OBJECTS:el_batch> $<TARGET_OBJECTS:el_answering>
                               $<TARGET_OBJECTS:el_schema>)
  target_link_libraries(edgellm-batch PRIVATE edgellm_cli_flags edgellm_static m)
  add_dependencies(programs edgellm-batch)
endif()

# ---- edgellm-serve ----
if(EDGELLM_SERVE)
  pkg_check_modules(LIBWEBSOCKETS IMPORTED_TARGET libwebsockets>=4.1)
  pkg_check_modules(OPENSSL IMPORTED_TARGET openssl>=1.1.1) # its TLS is OpenSSL's
  if(LIBWEBSOCKETS_FOUND AND OPENSSL_FOUND)
    file(GLOB server_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/server/*.c)
    list(REMOVE_ITEM server_sources ${answering_sources})
    add_library(el_server OBJECT ${server_sources})
    edgellm_embed(el_server src/server/openapi.json el_embedded_openapi application/json)
    target_link_libraries(el_server PRIVATE edgellm_cli_flags PkgConfig::LIBWEBSOCKETS
                                            PkgConfig::OPENSSL)
    target_compile_options(el_server PRIVATE ${optimise_programs})
    # The web page: src/server/serve_web.c
    edgellm_embed(el_server web/index.html el_web_index "text/html; charset=utf-8")
    edgellm_embed(el_server web/style.css el_web_style "text/css; charset=utf-8")
    foreach(module theme chat stream latency facts)
      edgellm_embed(el_server web/${module}.js el_web_${module} "text/javascript; charset=utf-8")
    endforeach()
    edgellm_embed(el_server web/icon.svg el_web_icon image/svg+xml)
    add_executable(edgellm-serve ${src}/serve_main.c ${common_objects}
                                 $<TARGET_OBJECTS:el_cli_serve> $<TARGET_OBJECTS:el_server>
                                 $<TARGET_OBJECTS:el_answering>
                                 $<TARGET_OBJECTS:el_schema>)
    target_link_libraries(edgellm-serve PRIVATE edgellm_cli_flags edgellm_static
                                                PkgConfig::LIBWEBSOCKETS PkgConfig::OPENSSL m)
    add_dependencies(programs edgellm-serve)
  else()
    message(STATUS "Without edgellm-serve, which answers over HTTP: libwebsockets 4.1 or later, "
                   "or OpenSSL 1.1.1 or later, is missing (Debian: apt-get install libwebsockets-dev "
                   "libssl-dev)")
  endif()
endif()

# The server and the batch program linked as edgellm-core is, for an image without a system
# (scripts/image.sh): built only when asked for, where the archives are.
if(TARGET edgellm-core AND TARGET edgellm-serve AND TARGET edgellm-batch)
  set(serve_archives)
  foreach(name websockets ssl crypto cap)
    find_library(EDGELLM_ARCHIVE_${name} lib${name}.a)
    list(APPEND serve_archives ${EDGELLM_ARCHIVE_${name}})
  endforeach()
  if(NOT "${serve_archives}" MATCHES "NOTFOUND")
    set(serve_objects $<TARGET_OBJECTS:el_cli_serve> $<TARGET_OBJECTS:el_server>)
    set(batch_objects $<TARGET_OBJECTS:el_cli_batch> $<TARGET_OBJECTS:el_batch>)
    foreach(program serve batch)
      add_executable(edgellm-static-${program} EXCLUDE_FROM_ALL ${src}/${program}_main.c
                     ${common_objects} ${${program}_objects} $<TARGET_OBJECTS:el_answering>
                     $<TARGET_OBJECTS:el_schema>)
      set_target_properties(edgellm-static-${program} PROPERTIES OUTPUT_NAME edgellm-${program}
                                                                 RUNTIME_OUTPUT_DIRECTORY core)
      target_link_libraries(edgellm-static-${program} PRIVATE edgellm_flags edgellm_static)
      target_link_options(edgellm-static-${program} PRIVATE -static -Wl,--gc-sections)
    endforeach()
    target_include_directories(edgellm-static-serve PRIVATE ${LIBWEBSOCKETS_INCLUDE_DIRS})
    target_link_libraries(edgellm-static-serve PRIVATE ${serve_archives} ${EDGELLM_JANSSON_ARCHIVE} m)
    target_link_libraries(edgellm-static-batch PRIVATE ${EDGELLM_JANSSON_ARCHIVE} m)
    add_custom_target(static_programs DEPENDS edgellm-core edgellm-static-serve edgellm-static-batch)
  endif()
endif()

# ---- edgellm-bench-http ----
if(EDGELLM_BENCH_HTTP)
  pkg_check_modules(LIBCURL IMPORTED_TARGET libcurl>=7.80)
  if(LIBCURL_FOUND)
    add_executable(edgellm-bench-http ${bench_http_sources} ${src}/cli_plain.c ${common_objects})
    target_link_libraries(edgellm-bench-http PRIVATE edgellm_cli_flags edgellm_static
                                                     PkgConfig::LIBCURL m)
    add_dependencies(programs edgellm-bench-http)
  else()
    message(STATUS "Without edgellm-bench-http, which times servers: libcurl 7.80 or later is missing "
                   "(Debian: apt-get install libcurl4-openssl-dev)")
  endif()
endif()

# ---- edgellm-pull ----
if(EDGELLM_PULL)
  pkg_check_modules(PULL_CURL IMPORTED_TARGET libcurl>=7.80)
  pkg_check_modules(PULL_CRYPTO IMPORTED_TARGET libcrypto>=1.1.1)
  pkg_check_modules(PULL_ARCHIVE IMPORTED_TARGET libarchive>=3.3)
  if(PULL_CURL_FOUND AND PULL_CRYPTO_FOUND AND PULL_ARCHIVE_FOUND)
    add_executable(edgellm-pull ${src}/pull_main.c ${pull_work_sources} ${common_objects}
                                $<TARGET_OBJECTS:el_cli_pull>)
    target_compile_options(edgellm-pull PRIVATE ${optimise_programs})
    target_link_libraries(edgellm-pull PRIVATE edgellm_cli_flags edgellm_static PkgConfig::PULL_CURL
                                               PkgConfig::PULL_CRYPTO PkgConfig::PULL_ARCHIVE m)
    add_dependencies(programs edgellm-pull)
  else()
    message(STATUS "Without edgellm-pull, which fetches models: libcurl 7.80 or later, libarchive 3.3 or "
                   "later, or OpenSSL 1.1.1 or later, is missing (Debian: apt-get install "
                   "libcurl4-openssl-dev libarchive-dev libssl-dev)")
  endif()
endif()

# ---- manual pages and completions ----
# Made from what the programs say with --help; those of another machine are started by its emulator.
if(EDGELLM_MANUAL)
  find_package(Python3 REQUIRED COMPONENTS Interpreter)
  set(speakers edgellm)
  foreach(program edgellm-quantize edgellm-serve edgellm-batch edgellm-pull)
    if(TARGET ${program})
      list(APPEND speakers ${program})
    endif()
  endforeach()
  set(paths)
  foreach(program IN LISTS speakers)
    list(APPEND paths $<TARGET_FILE:${program}>)
  endforeach()
  list(JOIN CMAKE_CROSSCOMPILING_EMULATOR " " starter)
  set(manual ${PROJECT_BINARY_DIR}/manual)
  add_custom_command(OUTPUT ${manual}/man1/edgellm.1
      COMMAND ${Python3_EXECUTABLE} ${PROJECT_SOURCE_DIR}/tools/manual.py ${manual} "--run=${starter}"
              ${paths}
      DEPENDS ${speakers} ${PROJECT_SOURCE_DIR}/tools/manual.py VERBATIM)
  add_custom_target(manual ALL DEPENDS ${manual}/man1/edgellm.1)
endif()
