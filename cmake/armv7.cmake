# Cross-compiles for 32-bit ARM with the distribution's compiler (package gcc-arm-linux-gnueabihf), for
# ARMv7-A with VFP: a processor without NEON runs the portable kernels.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR armv7)
set(CMAKE_C_COMPILER arm-linux-gnueabihf-gcc)
set(CMAKE_C_FLAGS_INIT "-march=armv7-a+fp")
set(EMULATOR qemu-arm)
include(${CMAKE_CURRENT_LIST_DIR}/sysroot.cmake)
