# Cross-compiles for 64-bit RISC-V with the distribution's compiler (package gcc-riscv64-linux-gnu),
# for rv64gc, what every board with Linux has. The vector level: rvv.cmake.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR riscv64)
set(CMAKE_C_COMPILER riscv64-linux-gnu-gcc)
set(EMULATOR qemu-riscv64)
include(${CMAKE_CURRENT_LIST_DIR}/sysroot.cmake)
