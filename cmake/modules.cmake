# The modules, one object library each. A module sees only the modules named before it on its
# line; tests/test_includes.py holds the source to the same directions.
function(el_module name)
  file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/${name}/*.c)
  add_library(el_${name} OBJECT ${sources})
  target_link_libraries(el_${name} PRIVATE edgellm_flags)
endfunction()

el_module(base)   # knows nobody
if(EDGELLM_SANITIZE)
  # What waits spins at the cost of another test; both ways of waiting are taken.
  target_compile_definitions(el_base PRIVATE EL_CREW_SPINS=100)
endif()
el_module(cpu)    # knows nobody
el_module(kernel) # base cpu
el_module(format) # base kernel (the layout of a matrix)
el_module(token)  # base format (the vocabulary)
el_module(grammar) # base token
el_module(sample) # base grammar (the mask)
el_module(model)  # base kernel format
el_module(engine) # base cpu kernel format token grammar sample model
el_module(quant)  # base kernel format
el_module(offline) # base kernel format quant engine
# What is in every program should be small. These call nobody's functions: nothing unwinds them. Kernels and sampling are
# what takes time.
foreach(module base cpu kernel format token grammar sample model quant)
  target_compile_options(el_${module} PRIVATE $<$<CONFIG:Release>:-fno-asynchronous-unwind-tables>)
endforeach()
foreach(module base format token grammar engine)
  target_compile_options(el_${module} PRIVATE $<$<CONFIG:Release>:-O2>)
endforeach()
# What a static program does not call is left out of it, function by function.
foreach(module base cpu format token grammar sample model engine quant)
  target_compile_options(el_${module} PRIVATE $<$<CONFIG:Release>:-ffunction-sections>)
endforeach()

# Kernels: one file per instruction-set level, compiled for that level only. Optimised even where
# the rest is not; but sanitizers make minutes of the unrolled loops at -O3.
if(EDGELLM_SANITIZE AND CMAKE_C_COMPILER_ID MATCHES Clang)
  # clang takes minutes a file for undefined behaviour in them; gcc, preset asan, looks for that.
  set(optimise -O1 -fno-sanitize=undefined)
elseif(EDGELLM_SANITIZE)
  # One region for gcc's register allocator: a third less time for the same code, nearly.
  set(optimise -O1 -fira-region=one)
else()
  set(optimise -O3)
endif()
if(CMAKE_C_COMPILER_ID STREQUAL GNU AND CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  # Some hundred bytes are cleared by plain stores: a string instruction takes longer to start.
  list(APPEND optimise -fno-tree-loop-distribute-patterns)
endif()
include(CheckCCompilerFlag)
function(el_kernel_level directory level)
  foreach(op ops matmul low)
    set(file ${PROJECT_SOURCE_DIR}/src/kernel/${directory}/${op}_${level}.c)
    target_sources(el_kernel PRIVATE ${file})
    set_source_files_properties(${file} PROPERTIES COMPILE_OPTIONS "${optimise};${ARGN}")
  endforeach()
endfunction()

if(CMAKE_C_COMPILER_ID STREQUAL GNU AND CMAKE_SYSTEM_PROCESSOR MATCHES riscv64)
  # A schedule for cores that start two instructions a cycle: a seventh faster by the model of llvm-mca.
  el_kernel_level(scalar scalar -mtune=sifive-7-series)
else()
  el_kernel_level(scalar scalar)
endif()
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64" AND EDGELLM_FEW_LEVELS)
  el_kernel_level(x86 avx2 -mavx2 -mf16c)
  add_compile_definitions(EL_FEW_LEVELS)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  if(CMAKE_C_COMPILER_ID STREQUAL GNU AND NOT EDGELLM_SANITIZE)
    # Of 16 registers none is free for products that wait for others: each is added up as soon as it
    # is there. Which options do that was found by measuring (docs/KERNELS.md).
    set(few_ssse3 -fschedule-insns -fsched-pressure -fno-tree-reassoc)
    set(few_avx2 -flive-range-shrinkage -fno-tree-reassoc -mtune=haswell)
  endif()
  set(avx512 -mavx2 -mf16c -mavx512f -mavx512bw -mavx512vl -mavx512dq)
  el_kernel_level(x86 ssse3 -mssse3 -msse4.1 ${few_ssse3})
  el_kernel_level(x86 avx2 -mavx2 -mf16c ${few_avx2})
  check_c_compiler_flag(-mavxvnni EDGELLM_HAS_AVXVNNI) # gcc 11, clang 12
  if(EDGELLM_HAS_AVXVNNI)
    el_kernel_level(x86 avxvnni -mavx2 -mf16c -mavxvnni)
    target_compile_definitions(el_kernel PRIVATE EL_BUILD_AVXVNNI)
  endif()
  el_kernel_level(x86 avx512vnni256 ${avx512} -mavx512vnni -mprefer-vector-width=256)
  el_kernel_level(x86 avx512bw ${avx512} -mprefer-vector-width=512)
  el_kernel_level(x86 avx512 ${avx512} -mavx512vnni -mprefer-vector-width=512)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64|arm64" AND CMAKE_SIZEOF_VOID_P EQUAL 8)
  el_kernel_level(arm neon)
  # A schedule for cores that read whole vectors: by the models of llvm-mca the A55 saves a quarter of
  # its cycles, and the A76 loses nothing (docs/HARDWARE.md). What runs without dot products keeps the
  # schedule for the A53, which is the compiler's own.
  set(tune -mtune=cortex-a72)
  el_kernel_level(arm dotprod -march=armv8.2-a+dotprod ${tune})
  el_kernel_level(arm i8mm -march=armv8.2-a+dotprod+i8mm ${tune})
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "arm|aarch64" AND CMAKE_C_COMPILER_ID STREQUAL GNU)
  el_kernel_level(arm neon -march=armv7-a -mfpu=neon) # only GCC: src/kernel/kernels.inc
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES riscv64)
  include(cmake/rvv.cmake)
endif()
