# Cross-compiles for 64-bit ARM with the distribution's compiler (package gcc-aarch64-linux-gnu), for
# ARMv8.0-A, what every board with 64 bits has. Levels beyond it: modules.cmake.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_C_FLAGS_INIT "-march=armv8-a")
set(EMULATOR qemu-aarch64)
include(${CMAKE_CURRENT_LIST_DIR}/sysroot.cmake)
