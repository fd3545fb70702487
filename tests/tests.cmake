el_test(base base cpu)
el_test(files base)
el_test(threads base)
el_test(realtime base)
foreach(test base threads) # their references: expl, sinl, ...; fegetenv
  target_link_libraries(test_${test} PRIVATE m)
endforeach()
el_test(kernels base cpu kernel)
target_compile_options(test_kernels PRIVATE $<$<CONFIG:Release>:-O2>) # under emulators a third less than -O1
target_link_libraries(test_kernels PRIVATE m)
el_test(matmul base cpu kernel)
el_test(matrix base kernel cpu)
el_test(self_test base cpu kernel)
el_test(gguf base cpu kernel format test_support)
el_test(ggml base cpu kernel format test_support)
el_test(gguf_positions base cpu kernel format test_support)
el_test(gguf_bad base cpu kernel format test_support)
el_test(gguf_vocab base cpu kernel format test_support)
el_test(tm2 base cpu kernel format test_support)
el_test(tm2_bad base cpu kernel format test_support)
el_test(token base token test_support)
target_link_options(test_token PRIVATE -Wl,--wrap=malloc,--wrap=calloc)
el_test(chat base token test_support)
el_test(pieces base token test_support)
el_test(added base token test_support)
el_test(vocab_pack base cpu kernel format token test_support)
el_test(quant base cpu kernel format quant)
el_test(takeover base cpu kernel format quant)
el_test(quantize base cpu kernel format quant test_support)
el_test(size base cpu kernel format quant test_support)
el_test(grammar base token grammar test_support)
el_test(sampler base token grammar sample)
target_link_libraries(test_sampler PRIVATE m)
# The program's sums; that file alone.
el_test(perplexity base)
target_sources(test_perplexity PRIVATE ${PROJECT_SOURCE_DIR}/src/cli/perplexity_numbers.c)
target_link_libraries(test_perplexity PRIVATE m)
# How much longer the quantizer will take; that file alone.
el_test(pace base)
target_sources(test_pace PRIVATE ${PROJECT_SOURCE_DIR}/src/cli/quantize_pace.c)
target_link_libraries(test_pace PRIVATE m)
# Streams of servers to events; that file alone.
el_test(http_events)
target_sources(test_http_events PRIVATE ${PROJECT_SOURCE_DIR}/src/cli/bench_http_events.c)
# The benchmark's figures and causes, without an engine.
if(EDGELLM_CLI)
  set(cli ${PROJECT_SOURCE_DIR}/src/cli)
  foreach(test bench_series bench_causes)
    el_test(${test} base)
    el_parts(test_${test} cli_core bench_series bench_causes bench_process)
    el_parts(test_${test} cli_common doctor_tree cli_sensors cli_stats cli_output cli_options)
    target_link_libraries(test_${test} PRIVATE edgellm_cli_flags m)
  endforeach()
endif()
# Parts of the server that need no network; those files alone.
if(EDGELLM_CLI)
  el_test(server_parts base token)
  el_parts(test_server_parts answering calls json_limits logprobs out problem stops tasks)
  target_sources(test_server_parts PRIVATE ${PROJECT_SOURCE_DIR}/src/server/chunks.c
                                           ${PROJECT_SOURCE_DIR}/src/server/keys.c)
  target_link_libraries(test_server_parts PRIVATE edgellm_cli_flags m)
  el_test(server_account base token)
  el_parts(test_server_account answering histogram out)
  foreach(part account hosts log metrics request_id)
    target_sources(test_server_account PRIVATE ${PROJECT_SOURCE_DIR}/src/server/${part}.c)
  endforeach()
  target_link_libraries(test_server_account PRIVATE edgellm_cli_flags m)
endif()
# What edgellm certify makes of times; those files alone.
if(EDGELLM_CLI)
  el_test(certify_fit base)
  el_parts(test_certify_fit cli_core certify_fit)
  el_parts(test_certify_fit cli_common cli_stats)
  target_link_libraries(test_certify_fit PRIVATE edgellm_cli_flags m)
endif()
# How fast to compute, on simulated boards; sensors and meters on made-up trees; those files alone.
if(EDGELLM_CLI)
  el_test(thermostat)
  el_parts(test_thermostat cli_core cli_thermostat)
  target_link_libraries(test_thermostat PRIVATE m)
  el_test(meter)
  el_parts(test_meter cli_core cli_meter)
  el_parts(test_meter cli_common cli_sensors doctor_tree)
endif()
include(program.cmake)
# JSON schemas to grammars: by hand, with failing memory, and judged from outside in Python.
if(EDGELLM_CLI)
  add_executable(schema_text schema_text.c $<TARGET_OBJECTS:el_schema> $<TARGET_OBJECTS:el_base>)
  target_link_libraries(schema_text PRIVATE edgellm_flags PkgConfig::JANSSON m)
  el_python_test(schema $<TARGET_FILE:schema_text>)
  add_executable(tool_text tool_text.c $<TARGET_OBJECTS:el_schema> $<TARGET_OBJECTS:el_base>
                           $<TARGET_OBJECTS:el_token>)
  el_parts(tool_text answering ask ask_lists ask_tools calls json_limits out problem tool_grammar
           tool_layout)
  target_link_libraries(tool_text PRIVATE edgellm_cli_flags m)
  el_python_test(tool_text $<TARGET_FILE:tool_text>)
  el_test(schema_memory base schema)
  target_link_libraries(test_schema_memory PRIVATE PkgConfig::JANSSON m)
  # Hugging Face folders, while memory fails.
  el_test(folder_memory base cpu kernel format token folder test_support)
  target_sources(test_folder_memory PRIVATE fuzz/seed_folder.c)
  target_link_libraries(test_folder_memory PRIVATE PkgConfig::JANSSON m)
  foreach(test schema_memory folder_memory)
    target_sources(test_${test} PRIVATE support/failing_memory.c)
    target_link_options(test_${test} PRIVATE
        -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=free)
  endforeach()
endif()

# Not a test: what tools/conformance_tokens.py compares with the reference tokenizers.
add_executable(tokenize_lines ${PROJECT_SOURCE_DIR}/tools/tokenize_lines.c
               $<TARGET_OBJECTS:el_base> $<TARGET_OBJECTS:el_cpu> $<TARGET_OBJECTS:el_kernel>
               $<TARGET_OBJECTS:el_format> $<TARGET_OBJECTS:el_token>)
target_link_libraries(tokenize_lines PRIVATE edgellm_flags Threads::Threads)
# And what tools/conformance_chat.py does.
add_executable(chat_lines ${PROJECT_SOURCE_DIR}/tools/chat_lines.c
               $<TARGET_OBJECTS:el_base> $<TARGET_OBJECTS:el_cpu> $<TARGET_OBJECTS:el_kernel>
               $<TARGET_OBJECTS:el_format> $<TARGET_OBJECTS:el_token>)
target_link_libraries(chat_lines PRIVATE edgellm_flags Threads::Threads)
# The contracts through the public interface; allocations are counted at the linker.
el_test(contract base cpu kernel format token grammar sample model engine quant test_support)
target_link_libraries(test_contract PRIVATE m) # fesetround
target_link_options(test_contract PRIVATE
    -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=aligned_alloc,--wrap=mmap64)
el_test(steady base cpu kernel format token grammar sample model engine quant test_support)
target_link_options(test_steady PRIVATE
    -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=aligned_alloc,--wrap=mmap64)
el_test(kernel_choice base cpu kernel format token grammar sample model engine)
el_test(models base cpu kernel format token grammar sample model engine quant test_support)
target_link_libraries(test_models PRIVATE m) # sqrt
el_test(session base cpu kernel format token grammar sample model engine quant test_support)
el_test(own_memory base cpu kernel format token grammar sample model engine quant test_support)
target_link_options(test_own_memory PRIVATE
    -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=aligned_alloc,--wrap=mmap64)
el_test(shared base cpu kernel format token grammar sample model engine quant test_support)
el_test(forecast base cpu kernel format token grammar sample model engine quant test_support)
target_link_libraries(test_forecast PRIVATE m)
# What comes next, on a made-up clock; those files alone.
foreach(test schedule schedule_said)
  el_test(${test} base test_support)
  el_parts(test_${test} engine schedule forecast)
endforeach()
el_test(grammar_session base cpu kernel format token grammar sample model engine quant test_support)
el_test(scheduler base cpu kernel format token grammar sample model engine quant test_support)
target_link_libraries(test_scheduler PRIVATE m)
target_link_options(test_scheduler PRIVATE
    -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=aligned_alloc,--wrap=mmap64)
el_test(scheduler_deadlines base cpu kernel format token grammar sample model engine quant
        test_support)
el_test(shift base cpu kernel format token grammar sample model engine quant test_support)
target_link_libraries(test_shift PRIVATE m)
el_test(constant_time base cpu kernel format token grammar sample model engine quant test_support)
el_test(i2s base cpu kernel format token grammar sample model engine quant offline test_support)
el_test(calibrate base cpu kernel format token grammar sample model engine quant offline test_support)
el_test(together base cpu kernel format token grammar sample model engine quant offline test_support)
# The Nth call of every kind fails, for every N. glibc's names for 64-bit offsets, and others'.
el_test(faults base cpu kernel format token grammar sample model engine quant offline test_support)
target_sources(test_faults PRIVATE faults/faults.c faults/realtime_checks.c faults/grammar_checks.c)
if(NOT EDGELLM_COVERAGE) # gcov's own calls have the plain names
  set(plain_names mmap open fopen lseek pread fstat stat lstat)
endif()
foreach(call malloc calloc realloc aligned_alloc strdup realpath free munmap mlock madvise close
             fclose read write fsync rename flock sched_getaffinity sched_setaffinity syscall
             el_trial_measure pthread_create pthread_join
             mmap64 open64 fopen64 lseek64 pread64 fstat64 stat64 lstat64 ${plain_names})
  target_link_options(test_faults PRIVATE -Wl,--wrap=${call})
endforeach()
# Against transformers' logits; and the program's perplexity against the library's logits.
el_test(window base cpu kernel format token grammar sample model engine quant test_support)
el_test(adapters base cpu kernel format token grammar sample model engine quant test_support)
el_test(conformance base cpu kernel format token grammar sample model engine quant)
target_link_libraries(test_conformance PRIVATE m)
if(TARGET edgellm)
  add_dependencies(test_conformance edgellm)
  target_compile_definitions(test_conformance PRIVATE EL_CLI="$<TARGET_FILE:edgellm>"
      EL_TEST_TEXT="${PROJECT_SOURCE_DIR}/tests/text/plain.txt")
endif()
# Which kernels OpenBLAS is told to take; the test is OpenBLAS.
if(TARGET edgellm-quantize)
  el_test(blas)
  target_sources(test_blas PRIVATE ${src}/quantize_blas.c)
  el_parts(test_blas cli_common cli_external cli_output)
  target_link_libraries(test_blas PRIVATE edgellm_cli_flags)
  target_include_directories(test_blas SYSTEM PRIVATE ${OPENBLAS_INCLUDE_DIRS})
  target_link_options(test_blas PRIVATE -Wl,--wrap=execv,--wrap=setenv)
endif()
if(TARGET edgellm-quantize AND NOT EDGELLM_COVERAGE) # which does not count training
  # What learns from calibration text, against the same in double. As edgellm-quantize does, one
  # thread for a product: the crew's members compute theirs side by side.
  set(engine base cpu kernel format token grammar sample model engine)
  foreach(test float_ops float_layer hadamard latent chain gptq float_model latent_table student layerwise
               tune allocate probe)
    el_test(${test} ${engine} quant offline train test_support)
    target_link_libraries(test_${test} PRIVATE PkgConfig::LAPACKE PkgConfig::OPENBLAS m)
    set_tests_properties(${test} PROPERTIES ENVIRONMENT OPENBLAS_NUM_THREADS=1)
  endforeach()
  el_test(compress ${engine} quant offline train test_support)
  target_link_libraries(test_compress PRIVATE PkgConfig::LAPACKE PkgConfig::OPENBLAS m)
  set_tests_properties(layerwise tune PROPERTIES TIMEOUT 480) # three threads, on whatever is free
  # Not a test: what real_model.py asks.
  add_executable(float_distance float_distance.c $<TARGET_OBJECTS:el_quant>
                 $<TARGET_OBJECTS:el_offline> $<TARGET_OBJECTS:el_train>)
  target_link_libraries(float_distance PRIVATE edgellm_flags el_test_support edgellm_static
                                               PkgConfig::LAPACKE PkgConfig::OPENBLAS m)
  target_include_directories(float_distance PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
endif()
if(NOT EDGELLM_SANITIZE) # see tools/CMakeLists.txt
  # The contenders of docs/CODECS.md against their reference, on one layer.
  add_test(NAME codecs COMMAND bench_codecs --layers 1 --no-head --vectors 5 --rounds 0)
  # Those of docs/KERNELS.md against plain loops.
  add_test(NAME attention_lookup COMMAND bench_attention --rounds 0 --no-count)
endif()
# Every sampler held to an independent model of it, on recorded logits.
add_executable(sample_logits ${PROJECT_SOURCE_DIR}/tools/sample_logits.c
               $<TARGET_OBJECTS:el_base> $<TARGET_OBJECTS:el_token> $<TARGET_OBJECTS:el_grammar>
               $<TARGET_OBJECTS:el_sample>)
target_link_libraries(sample_logits PRIVATE edgellm_flags Threads::Threads)
add_test(NAME sampler_model COMMAND ${Python3_EXECUTABLE}
         ${CMAKE_CURRENT_SOURCE_DIR}/test_sampler_model.py $<TARGET_FILE:sample_logits>)
set_tests_properties(sampler_model PROPERTIES TIMEOUT 240)
find_program(VALGRIND valgrind)
if(VALGRIND AND NOT instrumented)
  add_test(NAME sampler_cost COMMAND ${Python3_EXECUTABLE}
           ${CMAKE_CURRENT_SOURCE_DIR}/test_sampler_cost.py $<TARGET_FILE:sample_logits>)
  set_tests_properties(sampler_cost PROPERTIES TIMEOUT 480)
endif()
# Nothing of the tests' goes into the user's folders.
get_property(all_tests DIRECTORY PROPERTY TESTS)
foreach(test ${all_tests})
  set_property(TEST ${test} APPEND PROPERTY ENVIRONMENT EDGELLM_CACHE=none)
endforeach()
# Threads that meet at barriers spin, in vain where others have their processors: those that do it most have
# two. contract takes 5 s of processors so, and 20 beside others. With sanitizers they hardly spin.
if(NOT EDGELLM_SANITIZE)
  foreach(test contract session steady faults models forecast calibrate together scheduler scheduler_deadlines
               shared shift constant_time layerwise tune compress matmul bench cli quality batch chat_cli
               prompt_cache serve serve_ws serve_choices serve_tools serve_shift)
    if(test IN_LIST all_tests)
      set_tests_properties(${test} PROPERTIES PROCESSORS 2)
    endif()
  endforeach()
endif()
# The longest begin first, in this order: in a new folder ctest does not know yet how long each takes.
set(cost 200)
foreach(test faults_failures bench_http faults_writers faults serve cli certify disturbed serve_ws contract
             schedule serve_load serve_swap doctor quantize_cli pull climate calibrate compress bench chat_cli
             serve_disturbed serve_shift serve_choices serve_tools serve_ollama batch matmul sampler_cost)
  if(test IN_LIST all_tests)
    set_tests_properties(${test} PROPERTIES COST ${cost})
    math(EXPR cost "${cost} - 1")
  endif()
endforeach()
