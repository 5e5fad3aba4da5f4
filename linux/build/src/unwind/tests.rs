//! Compares, for each instruction, what DWARF says of the frame with what the Windows tables say of it.

use super::encode::{ALLOC_LARGE, ALLOC_SMALL, PUSH_NONVOL, SAVE_NONVOL, SET_FPREG};
use super::ranges::epilogue;
use super::*;
use crate::fixture;
use iced_x86::{Decoder, DecoderOptions};
use std::path::PathBuf;

/// What an UNWIND_INFO says of the frame `offset` bytes into its range.
fn windows_row(info: &[u8], offset: u64) -> Row {
    let [1, prologue, count, frame, codes @ ..] = info else {
        panic!("{info:x?}")
    };
    let done = |at: u8| offset >= u64::from(*prologue) || u64::from(at) <= offset;
    // Undone from the last step to the first: `depth` is where rsp (or the frame base) is, counted from the point
    // that is being undone; at the end it is the return address.
    let mut depth = 0u32;
    let mut from_pointer = false;
    let mut saved = Vec::new();
    let mut slot = 0;
    let argument = |slot: usize| u32::from(u16::from_le_bytes([codes[2 * slot], codes[2 * slot + 1]]));
    while slot < usize::from(*count) {
        let (at, operation, info) = (
            codes[2 * slot],
            codes[2 * slot + 1] & 15,
            codes[2 * slot + 1] >> 4,
        );
        let length = match (operation, info) {
            (ALLOC_LARGE, 0) | (SAVE_NONVOL, _) => 2,
            (ALLOC_LARGE, _) => 3,
            _ => 1,
        };
        if done(at) {
            match operation {
                PUSH_NONVOL => {
                    saved.push((info, depth));
                    depth += 8;
                }
                ALLOC_LARGE if info == 0 => depth += argument(slot + 1) * 8,
                ALLOC_LARGE => depth += argument(slot + 1) | argument(slot + 2) << 16,
                ALLOC_SMALL => depth += u32::from(info) * 8 + 8,
                SET_FPREG => {
                    assert_eq!(depth, 0, "saves below the base only");
                    from_pointer = true;
                }
                SAVE_NONVOL => saved.push((info, argument(slot + 1) * 8)),
                other => panic!("operation {other}"),
            }
        }
        slot += length;
    }
    // The frame address is above the return address.
    let size = depth + 8;
    if from_pointer {
        assert_eq!(u32::from(frame >> 4) * 16 + 16, size, "rbp lies at its own slot");
    }
    let saved = saved
        .into_iter()
        .map(|(register, at)| (register, size - at))
        .collect();
    Row {
        frame: if from_pointer {
            FrameFrom::Pointer
        } else {
            FrameFrom::Stack(size)
        },
        saved,
    }
}

/// Compares the tables with DWARF at each instruction; returns how many were compared, and how many of these are the
/// last ones of an epilogue, which Windows recognises by itself.
fn compare(object: &Object) -> (usize, usize) {
    let tables = tables(object).unwrap();
    let (index, section) = object.section(".eh_frame").unwrap();
    let map = AddressMap::new(object);
    let base = map.base(index).unwrap();
    let mut bytes = section.data.clone();
    section
        .relocations
        .iter()
        .for_each(|r| map.apply(object, base, r, &mut bytes).unwrap());
    let mut eh_frame = EhFrame::new(&bytes, LittleEndian);
    eh_frame.set_address_size(8);
    let bases = BaseAddresses::default().set_eh_frame(base);
    let mut context = UnwindContext::new();
    let (mut compared, mut epilogues) = (0, 0);
    let mut walk = eh_frame.entries(&bases);
    while let Some(entry) = walk.next().unwrap() {
        let gimli::CieOrFde::Fde(partial) = entry else {
            continue;
        };
        let fde = partial.parse(EhFrame::cie_from_offset).unwrap();
        let (code, function) = map.find(fde.initial_address()).unwrap();
        let text = &object.sections[code].data;
        let whole = function..function + fde.len();
        let mut all = Vec::new();
        let mut table = fde.rows(&eh_frame, &bases, &mut context).unwrap();
        while let Some(row) = table.next_row().unwrap() {
            let from = row.start_address() - fde.initial_address() + function;
            let to = row.end_address().min(fde.end_address()) - fde.initial_address() + function;
            all.push((from, to, express(row)));
        }
        for (number, (from, to, expected)) in all.iter().enumerate() {
            let Some(expected) = expected else { continue };
            let range = &text[usize::try_from(*from).unwrap()..usize::try_from(*to).unwrap()];
            // What Windows recognises by itself from here on, whatever the entry says.
            let any = Row {
                frame: FrameFrom::Stack(u32::MAX),
                saved: BTreeMap::new(),
            };
            let recognised = epilogue(&all[number..], &any, text, &whole) > 0;
            for instruction in Decoder::with_ip(64, range, *from, DecoderOptions::NONE).iter() {
                let at = u32::try_from(instruction.ip()).unwrap();
                let below = tables
                    .entries
                    .partition_point(|e| (e.section, e.start) <= (code, at));
                let entry = tables.entries[..below]
                    .last()
                    .filter(|e| e.section == code && at < e.end);
                let found = match entry {
                    Some(entry) => {
                        let info = &tables.xdata[entry.info as usize..];
                        windows_row(&info[..4 + usize::from(info[2]) * 2], u64::from(at - entry.start))
                    }
                    None => Row {
                        frame: FrameFrom::Stack(8),
                        saved: BTreeMap::new(),
                    },
                };
                compared += 1;
                if found != *expected {
                    let name = object.names_in(code).at(at.into());
                    assert!(
                        recognised,
                        "at {name:?}: {found:?} is not {expected:?}, {entry:?}"
                    );
                    epilogues += 1;
                }
            }
        }
    }
    (compared, epilogues)
}

#[test]
fn tables_agree_with_dwarf_at_each_instruction() {
    for (flags, complete) in [
        (&["-fno-omit-frame-pointer"][..], true),
        (&["-fomit-frame-pointer"], false),
        (&["-O1"], true),
        (&["-Os", "-fno-omit-frame-pointer"], true),
        (&["-O0"], true),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("first.o");
        fixture::compile(&fixture::path("first.c"), &file, flags);
        let object = fixture::parse(&file);
        let (compared, epilogues) = compare(&object);
        let counts = tables(&object).unwrap().counts;
        assert!(
            compared > 300 && epilogues * 4 < compared,
            "{flags:?}: {compared}, {epilogues}"
        );
        assert!(
            counts.functions > 8 && (!complete || counts.incomplete == 0),
            "{flags:?}: {counts:?}"
        );
    }
}

#[test]
fn a_prologue_becomes_one_entry() {
    let dir = tempfile::tempdir().unwrap();
    let (source, file) = (dir.path().join("p.S"), dir.path().join("p.o"));
    let text = "
        .text
        f: .cfi_startproc
        push %rbp
        .cfi_def_cfa_offset 16
        .cfi_offset 6, -16
        mov %rsp, %rbp
        .cfi_def_cfa_register 6
        push %r12
        push %rbx
        .cfi_offset 12, -24
        .cfi_offset 3, -32
        sub $0x20, %rsp
        nop
        add $0x20, %rsp
        pop %rbx
        pop %r12
        pop %rbp
        .cfi_def_cfa 7, 8
        ret
        .cfi_endproc
        g: .cfi_startproc
        .cfi_def_cfa 10, 0
        ret
        .cfi_endproc";
    std::fs::write(&source, text).unwrap();
    fixture::compile(&source, &file, &[]);
    let tables = tables(&fixture::parse(&file)).unwrap();
    // push rbp; [area of 16 below rbp]; rbp set; the two saves, 8 and 0 above the base.
    let info = [
        1,
        7,
        7,
        0x15, //
        7,
        SAVE_NONVOL | 12 << 4,
        1,
        0, //
        7,
        SAVE_NONVOL | 3 << 4,
        0,
        0, //
        4,
        SET_FPREG, //
        4,
        ALLOC_SMALL | 1 << 4, //
        1,
        PUSH_NONVOL | RBP << 4, //
        0,
        0,
    ];
    let mut sorted = tables.xdata.clone();
    let mut expected = info.to_vec();
    sorted.sort();
    expected.sort();
    assert_eq!(sorted, expected, "{:x?}", tables.xdata);
    let [entry] = tables.entries.as_slice() else {
        panic!("{:?}", tables.entries)
    };
    assert_eq!((entry.start, entry.info), (0, 0));
    // The function that finds its frame by r10 cannot be told to Windows, and is counted.
    assert_eq!(
        (
            tables.counts.functions,
            tables.counts.incomplete,
            tables.counts.bytes_left_out
        ),
        (2, 1, 1)
    );
}

/// As `a_built_kernel_converts_byte_by_byte`.
#[test]
#[ignore = "needs a built kernel, named by LKL_TEST_OBJECT"]
fn tables_of_a_built_kernel_agree_with_dwarf() {
    let path = PathBuf::from(std::env::var_os("LKL_TEST_OBJECT").expect("LKL_TEST_OBJECT names an lkl.o"));
    let object = fixture::parse(&path);
    let (compared, epilogues) = compare(&object);
    println!(
        "{compared} instructions agree, {epilogues} of them ends of epilogues; {:?}",
        tables(&object).unwrap().counts
    );
}
