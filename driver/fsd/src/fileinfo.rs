//! `IRP_MJ_QUERY_INFORMATION` and `IRP_MJ_SET_INFORMATION`: what a file is like.

use lklfs_nt::{
    CreateOptions, FileInformationClass, NtStatus,
    fileinfo::{self as nt, lx_flags},
    record::{Field as _, Record},
    utf16::SEPARATOR,
    writer::{self, EntryList, Pushed, Written, len_bytes},
};

use crate::{
    Ccb, Fcb, FcbKind, FileKind, Outcome, Vcb, Volume,
    attributes::{self, Basics},
    ea, volinfo,
};

/// What only the file object knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FileObjectState {
    /// `CurrentByteOffset`.
    pub position: i64,
    /// `FO_*` as create options, for FileModeInformation (`IopGetModeInformation`'s bits).
    pub mode: u32,
}

/// Everything that an answer is made from.
struct Subject<'a, V: Volume> {
    vcb: &'a Vcb<V>,
    fcb: &'a Fcb<V>,
    ccb: &'a Ccb,
    state: FileObjectState,
    basics: Basics,
}

/// The last component of a path; empty for the root.
fn last_component(path: &[u16]) -> &[u16] {
    path.rsplit(|unit| *unit == SEPARATOR).next().unwrap_or_default()
}

impl<V: Volume> Subject<'_, V> {
    fn basic(&self) -> nt::FileBasicInformation {
        let times = &self.basics.times;
        nt::FileBasicInformation {
            creation_time: times.creation,
            last_access_time: times.access,
            last_write_time: times.write,
            change_time: times.change,
            file_attributes: self.basics.attributes,
        }
    }

    fn standard(&self) -> nt::FileStandardInformation {
        nt::FileStandardInformation {
            allocation_size: self.basics.allocation_size,
            end_of_file: self.basics.end_of_file,
            number_of_links: self.basics.links,
            delete_pending: false,
            directory: self.basics.directory,
        }
    }

    fn internal(&self) -> nt::FileInternalInformation {
        nt::FileInternalInformation {
            index_number: self.basics.file_id,
        }
    }

    fn ea(&self) -> nt::FileEaInformation {
        nt::FileEaInformation {
            ea_size: ea::size(self.vcb, self.fcb),
        }
    }

    fn access(&self) -> nt::FileAccessInformation {
        nt::FileAccessInformation {
            access_flags: self.ccb.granted,
        }
    }

    fn position(&self) -> nt::FilePositionInformation {
        nt::FilePositionInformation {
            current_byte_offset: self.state.position,
        }
    }

    fn mode(&self) -> nt::FileModeInformation {
        nt::FileModeInformation {
            mode: self.state.mode,
        }
    }

    fn alignment(&self) -> nt::FileAlignmentInformation {
        nt::FileAlignmentInformation {
            alignment_requirement: self.vcb.geometry().alignment_requirement,
        }
    }

    fn name(&self) -> nt::FileNameInformation {
        nt::FileNameInformation {
            file_name_length: len_bytes(&self.ccb.path),
        }
    }

    fn all(&self) -> nt::FileAllInformation {
        nt::FileAllInformation {
            basic: self.basic(),
            standard: self.standard(),
            internal: self.internal(),
            ea: self.ea(),
            access: self.access(),
            position: self.position(),
            mode: self.mode(),
            alignment: self.alignment(),
            name: self.name(),
        }
    }

    fn network_open(&self) -> nt::FileNetworkOpenInformation {
        let times = &self.basics.times;
        nt::FileNetworkOpenInformation {
            creation_time: times.creation,
            last_access_time: times.access,
            last_write_time: times.write,
            change_time: times.change,
            allocation_size: self.basics.allocation_size,
            end_of_file: self.basics.end_of_file,
            file_attributes: self.basics.attributes,
        }
    }

    fn attribute_tag(&self) -> nt::FileAttributeTagInformation {
        nt::FileAttributeTagInformation {
            file_attributes: self.basics.attributes,
            reparse_tag: self.basics.reparse_tag.0,
        }
    }

    fn compression(&self) -> nt::FileCompressionInformation {
        nt::FileCompressionInformation {
            compressed_file_size: self.basics.allocation_size,
            // COMPRESSION_FORMAT_NONE: no format of NT's, whatever Linux stores.
            compression_format: 0,
            compression_unit_shift: 0,
            chunk_shift: 0,
            cluster_shift: 0,
            reserved: [0; 3],
        }
    }

    fn standard_link(&self) -> nt::FileStandardLinkInformation {
        nt::FileStandardLinkInformation {
            number_of_accessible_links: self.basics.links,
            total_number_of_links: self.basics.links,
            delete_pending: false,
            directory: self.basics.directory,
        }
    }

    fn id(&self) -> nt::FileIdInformation {
        nt::FileIdInformation {
            volume_serial_number: volinfo::serial_64(self.vcb),
            file_id: self.basics.file_id_128,
        }
    }

    fn stat(&self) -> nt::FileStatInformation {
        let times = &self.basics.times;
        nt::FileStatInformation {
            file_id: self.basics.file_id,
            creation_time: times.creation,
            last_access_time: times.access,
            last_write_time: times.write,
            change_time: times.change,
            allocation_size: self.basics.allocation_size,
            end_of_file: self.basics.end_of_file,
            file_attributes: self.basics.attributes,
            reparse_tag: self.basics.reparse_tag.0,
            number_of_links: self.basics.links,
            effective_access: self.ccb.granted,
        }
    }

    fn stat_lx(&self) -> nt::FileStatLxInformation {
        let metadata = self.fcb.metadata();
        let device = matches!(metadata.kind, FileKind::CharacterDevice | FileKind::BlockDevice);
        let known = lx_flags::HAS_UID | lx_flags::HAS_GID | lx_flags::HAS_MODE;
        let (major, minor) = if device { metadata.rdev } else { (0, 0) };
        nt::FileStatLxInformation {
            stat: self.stat(),
            lx_flags: if device {
                known | lx_flags::HAS_DEVICE_ID
            } else {
                known
            },
            lx_uid: metadata.uid,
            lx_gid: metadata.gid,
            lx_mode: metadata.kind.mode_bits() | metadata.permissions,
            lx_device_id_major: major,
            lx_device_id_minor: minor,
        }
    }

    fn stat_basic(&self) -> nt::FileStatBasicInformation {
        let times = &self.basics.times;
        let geometry = self.vcb.geometry();
        nt::FileStatBasicInformation {
            file_id: self.basics.file_id,
            creation_time: times.creation,
            last_access_time: times.access,
            last_write_time: times.write,
            change_time: times.change,
            allocation_size: self.basics.allocation_size,
            end_of_file: self.basics.end_of_file,
            file_attributes: self.basics.attributes,
            reparse_tag: self.basics.reparse_tag.0,
            number_of_links: self.basics.links,
            device_type: geometry.device_type,
            device_characteristics: geometry.characteristics,
            reserved: 0,
            volume_serial_number: volinfo::serial_64(self.vcb),
            file_id_128: self.basics.file_id_128,
        }
    }

    /// The one stream of a file; nothing for a directory.
    fn streams(&self, out: &mut [u8]) -> Written {
        const DATA: [u16; 7] = [0x3A, 0x3A, 0x24, 0x44, 0x41, 0x54, 0x41]; // ::$DATA
        if self.fcb.kind() != FcbKind::File {
            return (NtStatus::SUCCESS, 0);
        }
        let stream = nt::FileStreamInformation {
            next_entry_offset: 0,
            stream_name_length: len_bytes(&DATA),
            stream_size: self.basics.end_of_file,
            stream_allocation_size: self.basics.allocation_size,
        };
        if out.len() < nt::FileStreamInformation::SIZE {
            return (NtStatus::INFO_LENGTH_MISMATCH, 0);
        }
        if out.len() < nt::FileStreamInformation::NAME_OFFSET.saturating_add(14) {
            return (NtStatus::BUFFER_OVERFLOW, 0);
        }
        writer::named(out, &stream, &DATA)
    }

    /// The link by which the file was opened: Linux keeps no list of the others.
    fn hard_links(&self, out: &mut [u8]) -> Written {
        let name = last_component(&self.ccb.path);
        let entry = nt::FileLinkEntryInformation {
            next_entry_offset: 0,
            parent_file_id: attributes::identity(self.vcb, &self.ccb.parent).0,
            file_name_length: u32::try_from(name.len()).unwrap_or(u32::MAX),
        };
        let length = nt::FileLinkEntryInformation::NAME_OFFSET.saturating_add(name.len().saturating_mul(2));
        let needed = length.saturating_add(nt::FileLinksInformation::SIZE);
        let mut head = nt::FileLinksInformation {
            bytes_needed: u32::try_from(needed).unwrap_or(u32::MAX),
            entries_returned: 0,
        };
        let fits = out.len() >= needed;
        head.entries_returned = fits.into();
        let (status, written) = writer::fixed(out, &head);
        if status != NtStatus::SUCCESS {
            return (status, written);
        }
        if !fits {
            return (NtStatus::BUFFER_OVERFLOW, written);
        }
        let mut list = EntryList::new(out.get_mut(written..).unwrap_or_default(), 8);
        match list.push(&entry, name) {
            Pushed::Whole => (NtStatus::SUCCESS, needed),
            _ => (NtStatus::BUFFER_OVERFLOW, written),
        }
    }
}

/// Whether a query of this class may block now.
pub fn may_block<V: Volume>(fcb: &Fcb<V>, class: FileInformationClass) -> bool {
    type Class = FileInformationClass;
    matches!(class, Class::FileEaInformation | Class::FileAllInformation)
        && fcb.kind() != FcbKind::Volume
        && fcb.ea_size().is_none()
}

/// Answers a query of one file into `out` (the IRP's system buffer, `Parameters.QueryFile.Length` bytes long).
///
/// Information is the count of bytes written. `INFO_LENGTH_MISMATCH` when the fixed part does not fit,
/// `BUFFER_OVERFLOW` when a name is cut, `INVALID_INFO_CLASS` for a class that is not answered here.
///
/// # IRQL
///
/// PASSIVE_LEVEL; may block for FileEaInformation and FileAllInformation, not for the rest.
pub fn query<V: Volume>(
    vcb: &Vcb<V>,
    fcb: &Fcb<V>,
    ccb: &Ccb,
    state: FileObjectState,
    class: FileInformationClass,
    out: &mut [u8],
) -> Outcome {
    type Class = FileInformationClass;
    let by_volume = matches!(
        class,
        Class::FileAccessInformation
            | Class::FilePositionInformation
            | Class::FileModeInformation
            | Class::FileAlignmentInformation
    );
    if fcb.kind() == FcbKind::Volume && !by_volume {
        return Outcome::failed(NtStatus::INVALID_PARAMETER);
    }
    let basics = attributes::basics(vcb, fcb.metadata(), last_component(&ccb.path), ccb.link.as_ref());
    let subject = Subject {
        vcb,
        fcb,
        ccb,
        state,
        basics,
    };
    let (status, information) = match class {
        Class::FileBasicInformation => writer::fixed(out, &subject.basic()),
        Class::FileStandardInformation => writer::fixed(out, &subject.standard()),
        Class::FileInternalInformation => writer::fixed(out, &subject.internal()),
        Class::FileEaInformation => writer::fixed(out, &subject.ea()),
        Class::FileAccessInformation => writer::fixed(out, &subject.access()),
        Class::FileNameInformation | Class::FileNormalizedNameInformation => {
            writer::named(out, &subject.name(), &ccb.path)
        }
        Class::FilePositionInformation => writer::fixed(out, &subject.position()),
        Class::FileModeInformation => writer::fixed(out, &subject.mode()),
        Class::FileAlignmentInformation => writer::fixed(out, &subject.alignment()),
        Class::FileAllInformation => writer::named(out, &subject.all(), &ccb.path),
        // No file has an 8.3 name.
        Class::FileAlternateNameInformation => (NtStatus::OBJECT_NAME_NOT_FOUND, 0),
        Class::FileStreamInformation => subject.streams(out),
        Class::FileCompressionInformation => writer::fixed(out, &subject.compression()),
        Class::FileNetworkOpenInformation => writer::fixed(out, &subject.network_open()),
        Class::FileAttributeTagInformation => writer::fixed(out, &subject.attribute_tag()),
        Class::FileHardLinkInformation => subject.hard_links(out),
        Class::FileStandardLinkInformation => writer::fixed(out, &subject.standard_link()),
        Class::FileIdInformation => writer::fixed(out, &subject.id()),
        Class::FileStatInformation => writer::fixed(out, &subject.stat()),
        Class::FileStatLxInformation => writer::fixed(out, &subject.stat_lx()),
        Class::FileStatBasicInformation => writer::fixed(out, &subject.stat_basic()),
        Class::FileCaseSensitiveInformation if fcb.kind() == FcbKind::Directory => {
            // Names that differ in case only are told apart; but a name that exists in one case is found in any.
            writer::fixed(out, &nt::FileCaseSensitiveInformation { flags: 0 })
        }
        Class::FileCaseSensitiveInformation => (NtStatus::INVALID_PARAMETER, 0),
        // A local volume: there is neither protocol nor network name.
        Class::FileRemoteProtocolInformation | Class::FileNetworkPhysicalNameInformation => {
            (NtStatus::INVALID_PARAMETER, 0)
        }
        _ => (NtStatus::INVALID_INFO_CLASS, 0),
    };
    Outcome::new(status, information)
}

/// What a SET_INFORMATION leads to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SetPlan {
    /// Set `FileObject->CurrentByteOffset` and succeed.
    Position(i64),
    /// Complete with this.
    Done(Outcome),
}

/// Decides a SET_INFORMATION: the position can be set, everything else would change the volume.
///
/// For an open without buffering the position must fit the device's alignment.
///
/// # IRQL
///
/// Any; never blocks.
pub fn set<V: Volume>(
    vcb: &Vcb<V>,
    fcb: &Fcb<V>,
    ccb: &Ccb,
    class: FileInformationClass,
    input: &[u8],
) -> SetPlan {
    if class != FileInformationClass::FilePositionInformation {
        return SetPlan::Done(Outcome::failed(NtStatus::MEDIA_WRITE_PROTECTED));
    }
    if fcb.kind() == FcbKind::Directory || fcb.kind() == FcbKind::Reparse {
        return SetPlan::Done(Outcome::failed(NtStatus::INVALID_PARAMETER));
    }
    let Some(position) = nt::FilePositionInformation::get(input) else {
        return SetPlan::Done(Outcome::failed(NtStatus::INFO_LENGTH_MISMATCH));
    };
    let Ok(offset) = u64::try_from(position.current_byte_offset) else {
        return SetPlan::Done(Outcome::failed(NtStatus::INVALID_PARAMETER));
    };
    let mask = u64::from(vcb.geometry().alignment_requirement);
    if ccb
        .options
        .contains(CreateOptions::FILE_NO_INTERMEDIATE_BUFFERING)
        && offset & mask != 0
    {
        return SetPlan::Done(Outcome::failed(NtStatus::INVALID_PARAMETER));
    }
    SetPlan::Position(position.current_byte_offset)
}
