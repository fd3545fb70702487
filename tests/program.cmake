# Tests in Python, standard library only: the house rules, and the program from outside.
find_package(Python3 REQUIRED COMPONENTS Interpreter)

# el_python_test(NAME ARGUMENTS...): tests/test_NAME.py, run as test NAME.
function(el_python_test name)
  add_test(NAME ${name} COMMAND ${Python3_EXECUTABLE}
                                ${CMAKE_CURRENT_SOURCE_DIR}/test_${name}.py ${ARGN})
  set_tests_properties(${name} PROPERTIES TIMEOUT 240)
endfunction()

# A build that is more than the program: with symbols, libraries, instructions and calls of its own.
if(EDGELLM_SANITIZE OR EDGELLM_COVERAGE)
  set(instrumented ON)
endif()

# What an instrumented build would only repeat: none of its programs runs.
if(NOT instrumented)
  el_python_test(includes ${PROJECT_SOURCE_DIR} ${CMAKE_C_COMPILER})
  el_python_test(mca ${PROJECT_SOURCE_DIR} ${CMAKE_CURRENT_BINARY_DIR}/mca)
  el_python_test(header ${PROJECT_SOURCE_DIR}/include/edgellm.h ${CMAKE_C_COMPILER})
  # The independent reader of docs/FORMAT.md; values are compared where numpy is installed.
  el_python_test(tm2_reader)
  el_python_test(archives ${PROJECT_SOURCE_DIR} ${CMAKE_CURRENT_BINARY_DIR}/archives)
  el_python_test(links ${PROJECT_SOURCE_DIR})
  el_python_test(symbols ${PROJECT_SOURCE_DIR} $<TARGET_FILE:edgellm_shared>
                         $<TARGET_FILE:edgellm_static> ${PROJECT_VERSION})
endif()

if(EDGELLM_CLI AND NOT EDGELLM_QUANTIZE)
  message(STATUS "Without EDGELLM_QUANTIZE the programs are not tested: nothing makes their models")
elseif(EDGELLM_CLI)
  if(EDGELLM_SANITIZE)
    set(sanitized sanitized)
  elseif(EDGELLM_COVERAGE)
    set(sanitized counted)
  endif()
  add_executable(make_tiny make_tiny.c $<TARGET_OBJECTS:el_base>)
  target_link_libraries(make_tiny PRIVATE edgellm_flags el_test_support Threads::Threads)
  target_include_directories(make_tiny PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
  # The program, what makes its models, and a folder of the test's own.
  set(program $<TARGET_FILE:edgellm> $<TARGET_FILE:make_tiny>)
  el_python_test(cli ${program} ${CMAKE_CURRENT_BINARY_DIR}/cli ${sanitized})
  set_tests_properties(cli PROPERTIES TIMEOUT 480) # a run is up to three programs, see quantize_blas.h
  el_python_test(external ${program} ${CMAKE_CURRENT_BINARY_DIR}/external)
  if(NOT EDGELLM_COVERAGE) # it limits what may be written, gcov's counts too
    el_python_test(quantize_cli ${program} ${CMAKE_CURRENT_BINARY_DIR}/quantize_cli ${sanitized})
  endif()
  if(NOT instrumented)
    set(speakers ${CMAKE_CURRENT_BINARY_DIR}/manual $<TARGET_FILE:edgellm> $<TARGET_FILE:edgellm-quantize>)
    if(TARGET edgellm-batch)
      list(APPEND speakers $<TARGET_FILE:edgellm-batch>)
    endif()
    el_python_test(manual ${speakers})
  endif()
  if(NOT EDGELLM_COVERAGE) # which does not count training
    el_python_test(folder ${program} ${CMAKE_CURRENT_BINARY_DIR}/folder)
    el_python_test(gguf_parts $<TARGET_FILE:edgellm> ${CMAKE_CURRENT_BINARY_DIR}/gguf_parts)
    el_python_test(bad_models $<TARGET_FILE:edgellm> ${CMAKE_CURRENT_BINARY_DIR}/bad_models)
  endif()
  if(TARGET dump_logits)
    el_python_test(lora $<TARGET_FILE:edgellm> $<TARGET_FILE:dump_logits> ${CMAKE_CURRENT_BINARY_DIR}/lora)
  endif()
  if(TARGET edgellm-core AND NOT instrumented)
    el_python_test(core $<TARGET_FILE:edgellm-core> ${program} ${CMAKE_CURRENT_BINARY_DIR}/core ${CMAKE_STRIP})
  endif()
  el_python_test(plan ${program} ${CMAKE_CURRENT_BINARY_DIR}/plan ${PROJECT_SOURCE_DIR})
  el_python_test(doctor ${program} ${CMAKE_CURRENT_BINARY_DIR}/doctor ${sanitized})
  el_python_test(bench ${program} ${CMAKE_CURRENT_BINARY_DIR}/bench $<TARGET_FILE:random_model>
                       ${sanitized})
  el_python_test(submit ${program} ${CMAKE_CURRENT_BINARY_DIR}/submit ${PROJECT_SOURCE_DIR})
  if(NOT instrumented)
    add_test(NAME board_pages COMMAND ${Python3_EXECUTABLE} ${PROJECT_SOURCE_DIR}/tools/board_pages.py
                                      $<TARGET_FILE:edgellm> --check)
  endif()
  el_python_test(certify ${program} ${CMAKE_CURRENT_BINARY_DIR}/certify)
  el_python_test(climate ${program} ${CMAKE_CURRENT_BINARY_DIR}/climate)
  el_python_test(prompt_cache ${program} ${CMAKE_CURRENT_BINARY_DIR}/prompt_cache)
  el_python_test(quality ${program} ${CMAKE_CURRENT_BINARY_DIR}/quality)
  if(NOT instrumented) # the library is loaded by an interpreter that is not
    el_python_test(python ${program} $<TARGET_FILE:edgellm_shared> ${CMAKE_C_COMPILER}
                          ${CMAKE_CURRENT_BINARY_DIR}/python)
  endif()
  if(NOT instrumented) # tools in Python, and of the program what test cli has too
    el_python_test(distil_commands ${program} ${CMAKE_CURRENT_BINARY_DIR}/distil_commands)
    el_python_test(talk ${program} ${CMAKE_CURRENT_BINARY_DIR}/talk)
  endif()
  if(EDGELLM_EDITLINE)
    set(editline editline)
  endif()
  el_python_test(chat_cli ${program} ${CMAKE_CURRENT_BINARY_DIR}/chat_cli ${editline})
  # The system fails the program: calls are replaced by preloading, which a sanitizer's own
  # replacements do not go with, nor gcov, whose calls fail too; test_faults does the same inside
  # one process, and under them. Long answers that are stopped in the middle show no more there either.
  if(NOT instrumented)
    el_python_test(disturbed ${program} ${CMAKE_CURRENT_BINARY_DIR}/disturbed)
    set_tests_properties(disturbed PROPERTIES TIMEOUT 480)
    add_library(edgellm_inject MODULE faults/inject.c)
    target_link_libraries(edgellm_inject PRIVATE edgellm_flags ${CMAKE_DL_LIBS})
    foreach(part failures writers)
      add_test(NAME faults_${part}
               COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/test_faults_cli.py ${program}
                       $<TARGET_FILE:edgellm_inject> ${CMAKE_CURRENT_BINARY_DIR}/faults_${part} ${part})
      set_tests_properties(faults_${part} PROPERTIES TIMEOUT 600)
    endforeach()
    el_python_test(rights ${program} $<TARGET_FILE:edgellm_inject>)
    if(TARGET edgellm-serve)
      set(serve serve)
    endif()
    el_python_test(bad_ground ${program} ${CMAKE_CURRENT_BINARY_DIR}/bad_ground $<TARGET_FILE:edgellm_inject> ${serve})
    el_python_test(limits ${program} ${CMAKE_CURRENT_BINARY_DIR}/limits ${serve})
    add_test(NAME rights_taken COMMAND ${Python3_EXECUTABLE}
                                       ${CMAKE_CURRENT_SOURCE_DIR}/test_rights.py ${program} taken)
    set_tests_properties(rights rights_taken PROPERTIES TIMEOUT 240 SKIP_RETURN_CODE 77)
  endif()
  # Servers made by the test, timed. Where its calls can fail, memory runs out too.
  if(TARGET edgellm-bench-http)
    if(TARGET edgellm_inject)
      set(inject $<TARGET_FILE:edgellm_inject>)
    endif()
    el_python_test(bench_http $<TARGET_FILE:edgellm-bench-http> ${inject})
    set_tests_properties(bench_http PROPERTIES TIMEOUT 480)
  elseif(EDGELLM_BENCH_HTTP) # not tested is not passed
    add_test(NAME bench_http COMMAND sh -c "echo 'edgellm-bench-http is not built: libcurl is missing \
(scripts/setup.sh --test), or say -DEDGELLM_BENCH_HTTP=OFF'; exit 1")
  else()
    message(STATUS "Without EDGELLM_BENCH_HTTP that program is not tested")
  endif()
  if(TARGET edgellm-batch)
    el_python_test(batch ${program} ${CMAKE_CURRENT_BINARY_DIR}/batch ${sanitized})
  else()
    message(STATUS "Without EDGELLM_BATCH that program is not tested")
  endif()
  if(TARGET edgellm-pull)
    if(TARGET edgellm_inject)
      set(inject $<TARGET_FILE:edgellm_inject>)
    endif()
    el_python_test(pull ${program} ${CMAKE_CURRENT_BINARY_DIR}/pull ${inject})
    set_tests_properties(pull PROPERTIES TIMEOUT 480)
  elseif(EDGELLM_PULL) # not tested is not passed
    add_test(NAME pull COMMAND sh -c "echo 'edgellm-pull is not built: libcurl or libarchive is missing \
(scripts/setup.sh --test), or say -DEDGELLM_PULL=OFF'; exit 1")
  else()
    message(STATUS "Without EDGELLM_PULL that program is not tested")
  endif()
  if(TARGET edgellm-serve)
    if(TARGET edgellm_inject)
      set(inject $<TARGET_FILE:edgellm_inject>)
    endif()
    el_python_test(serve ${program} ${CMAKE_CURRENT_BINARY_DIR}/serve ${inject})
    el_python_test(serve_around ${program} ${CMAKE_CURRENT_BINARY_DIR}/serve_around ${inject})
    el_python_test(serve_ws ${program} ${CMAKE_CURRENT_BINARY_DIR}/serve_ws)
    if(TARGET edgellm_inject)
      el_python_test(serve_disturbed ${program} ${CMAKE_CURRENT_BINARY_DIR}/serve_disturbed ${inject})
    endif()
    el_python_test(serve_swap ${program} ${CMAKE_CURRENT_BINARY_DIR}/serve_swap ${sanitized})
    el_python_test(serve_ops ${program} ${CMAKE_CURRENT_BINARY_DIR}/serve_ops)
    el_python_test(serve_load ${program} ${CMAKE_CURRENT_BINARY_DIR}/serve_load ${sanitized})
    set_tests_properties(serve serve_around serve_ws serve_swap serve_ops serve_load PROPERTIES TIMEOUT 480)
    if(TARGET edgellm-bench-http)
      set(bench bench)
    endif()
    el_python_test(serve_shift ${program} ${CMAKE_CURRENT_BINARY_DIR}/serve_shift)
    el_python_test(serve_choices ${program} ${CMAKE_CURRENT_BINARY_DIR}/serve_choices)
    el_python_test(serve_core ${program} ${CMAKE_CURRENT_BINARY_DIR}/serve_core)
    el_python_test(serve_fields ${program} ${CMAKE_CURRENT_BINARY_DIR}/serve_fields)
    el_python_test(serve_embeddings ${program} ${CMAKE_CURRENT_BINARY_DIR}/serve_embeddings)
    el_python_test(serve_forms ${program} ${CMAKE_CURRENT_BINARY_DIR}/serve_forms)
    el_python_test(serve_tools ${program} ${CMAKE_CURRENT_BINARY_DIR}/serve_tools)
    el_python_test(serve_ollama ${program} ${CMAKE_CURRENT_BINARY_DIR}/serve_ollama ${bench})
    el_python_test(serve_web ${program} ${CMAKE_CURRENT_BINARY_DIR}/serve_web)
  elseif(EDGELLM_SERVE) # not tested is not passed
    add_test(NAME serve COMMAND sh -c "echo 'edgellm-serve is not built: libwebsockets is missing \
(scripts/setup.sh --test), or say -DEDGELLM_SERVE=OFF'; exit 1")
  else()
    message(STATUS "Without EDGELLM_SERVE that program is not tested")
  endif()
  # Instructions are counted by valgrind, of the program as it is.
  find_program(VALGRIND valgrind)
  if(VALGRIND AND NOT instrumented)
    el_python_test(instructions ${program} ${CMAKE_CURRENT_BINARY_DIR}/instructions)
    set_tests_properties(instructions PROPERTIES TIMEOUT 480)
  endif()
  # Installed from here, used from outside, where nobody links gcov: examples/.
  if(NOT EDGELLM_COVERAGE)
    el_python_test(install ${PROJECT_BINARY_DIR} ${CMAKE_COMMAND} ${CMAKE_C_COMPILER}
                           $<TARGET_FILE:make_tiny> ${CMAKE_CURRENT_BINARY_DIR}/install
                           ${EDGELLM_SANITIZE})
  endif()
endif()
