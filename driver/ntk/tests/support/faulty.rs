//! Faults of the processor, put into Linux's own code in the loaded image.

use ntos::user::Machine;

/// What a fault is called, the code for it, and what Linux says of it.
pub const CONTAINED: &[(&str, &[u8], &str)] = &[
    // xor ecx, ecx; xor eax, eax; xor edx, edx; div ecx
    (
        "a division by zero",
        &[0x31, 0xc9, 0x31, 0xc0, 0x31, 0xd2, 0xf7, 0xf1],
        "arithmetic fault",
    ),
    // ud2
    ("an illegal instruction", &[0x0f, 0x0b], "illegal instruction"),
    // int3
    ("a breakpoint", &[0xcc], "illegal instruction"),
    // xor eax, eax; mov eax, [rax + 8]
    (
        "a read by a null pointer",
        &[0x31, 0xc0, 0x8b, 0x40, 0x08],
        "bad access",
    ),
    // xor eax, eax; mov [rax + 8], eax
    (
        "a write by a null pointer",
        &[0x31, 0xc0, 0x89, 0x40, 0x08],
        "bad access",
    ),
    // mov rax, 0xdead000000000100; mov rax, [rax]
    (
        "an address that is not canonical",
        &[0x48, 0xb8, 0x00, 0x01, 0, 0, 0, 0, 0xad, 0xde, 0x48, 0x8b, 0x00],
        "bad access",
    ),
    // xor eax, eax; call rax
    (
        "a call of a null pointer",
        &[0x31, 0xc0, 0xff, 0xd0],
        "bad access",
    ),
];

/// Puts `code` where each system call of Linux's passes; what was there.
pub fn break_linux(machine: &Machine, code: &[u8]) -> Vec<u8> {
    let image = machine.drivers()[0].image();
    let call = image
        .callback_of("linux_syscall")
        .expect("linux_syscall() names what it runs");
    image.overwrite(call, code)
}
