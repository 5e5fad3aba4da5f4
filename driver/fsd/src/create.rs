//! `IRP_MJ_CREATE`: from a name to an open.
//!
//! [`open`] parses the name, walks it through the volume without ever following a link itself, checks options,
//! disposition and rights against what it finds on a read-only volume, and says what is left to do in a [`Plan`]. The
//! edge then looks the inode up in the [`FcbTable`](crate::FcbTable) (entering the plan's Fcb when it is new), checks
//! the security descriptor, share access and oplocks, and completes the IRP.

use alloc::vec::Vec;

use lklfs_nt::{
    AccessMask, CreateDisposition, CreateInformation, CreateOptions, NtStatus, ReparseTag, reparse,
    utf16::SEPARATOR,
};

use crate::{
    Ccb, Fcb, FcbKind, FileKind, IrpContext, LinkView, Metadata, Vcb, Volume, Wait, linksup,
    pathname::{self, Pathname, Stream},
    secur::READING,
    walk::{Place, Walked, root, walk},
};

/// Says whether a directory may be passed through; the error ends the walk.
pub type MayPass<'a> = &'a dyn Fn(&Metadata) -> Result<(), NtStatus>;

/// What the IRP asks for, decoded.
pub struct Request<'a, V: Volume> {
    /// `RelatedFileObject`'s objects, when the name is relative to it.
    pub related: Option<(&'a Fcb<V>, &'a Ccb)>,
    /// `FileObject->FileName`, as it came; with FILE_OPEN_BY_FILE_ID the path that the identity was resolved to
    /// ([`KnownIds::path`](crate::known::KnownIds::path)), which is the true one.
    pub name: &'a [u16],
    /// `SL_CASE_SENSITIVE` in the stack location's flags.
    pub case_sensitive: bool,
    /// `SL_OPEN_TARGET_DIRECTORY`: open the parent of the last component (for renames).
    pub open_target_directory: bool,
    /// What was asked (`SecurityContext->DesiredAccess`), generic rights allowed.
    pub desired_access: AccessMask,
    /// The low 24 bits of `Parameters.Create.Options`.
    pub options: CreateOptions,
    /// The top 8 bits of it.
    pub disposition: CreateDisposition,
    /// Bytes of extended attributes that a new file should get.
    pub ea_length: u32,
    /// Asked for each directory on the way, the first included, when the opener may not pass through whatever directory
    /// comes (no SeChangeNotifyPrivilege).
    pub may_pass: Option<MayPass<'a>>,
}

/// What a good CREATE leads to.
#[allow(
    clippy::large_enum_variant,
    reason = "a box would be one more thing that memory may be short for"
)]
pub enum Plan<V: Volume> {
    /// Open this.
    Open(Opening<V>),
    /// Complete with `STATUS_REPARSE`: the name must be parsed again.
    Reparse(Reparse),
}

/// An open that is decided but for what NT itself must say (security, sharing, oplocks).
pub struct Opening<V: Volume> {
    /// The Fcb to enter in the table unless its key is there already (then drop this one, with no lock held).
    pub fcb: Fcb<V>,
    /// The Ccb of this file object.
    pub ccb: Ccb,
    /// `IoStatus.Information`.
    pub information: CreateInformation,
    /// Whether the opener asked for MAXIMUM_ALLOWED: the edge then reduces `ccb.granted` to what the descriptor allows
    /// instead of refusing.
    pub maximum_allowed: bool,
    /// The open is only for attributes or synchronisation: no share access is taken, no oplock is broken.
    pub attributes_only: bool,
    /// The open bypasses the cache (FILE_NO_INTERMEDIATE_BUFFERING): `FO_NO_INTERMEDIATE_BUFFERING`.
    pub no_buffering: bool,
}

/// A reparse point on the way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reparse {
    /// `IoStatus.Information`: the tag.
    pub tag: ReparseTag,
    /// A `REPARSE_DATA_BUFFER` whose `Reserved` field holds the length in bytes of the part of the name that is not yet
    /// parsed. The edge copies it to pool and hangs it at `Irp->Tail.Overlay.AuxiliaryBuffer`.
    pub data: Vec<u8>,
}

/// The rights that neither take share access nor break oplocks.
const ATTRIBUTES_ONLY: AccessMask =
    AccessMask(AccessMask::FILE_READ_ATTRIBUTES.0 | AccessMask::SYNCHRONIZE.0 | AccessMask::READ_CONTROL.0);

/// Options and disposition that contradict themselves, before any name is looked at.
fn check_options<V: Volume>(request: &Request<'_, V>) -> Result<(), NtStatus> {
    let directory = request.options.contains(CreateOptions::FILE_DIRECTORY_FILE);
    if directory && request.options.contains(CreateOptions::FILE_NON_DIRECTORY_FILE) {
        return Err(NtStatus::INVALID_PARAMETER);
    }
    match request.disposition {
        CreateDisposition::FILE_OPEN | CreateDisposition::FILE_OPEN_IF | CreateDisposition::FILE_CREATE => {}
        CreateDisposition::FILE_SUPERSEDE
        | CreateDisposition::FILE_OVERWRITE
        | CreateDisposition::FILE_OVERWRITE_IF
            if !directory => {}
        _ => return Err(NtStatus::INVALID_PARAMETER),
    }
    // An identity belongs to a file that exists.
    if request.options.contains(CreateOptions::FILE_OPEN_BY_FILE_ID)
        && !matches!(
            request.disposition,
            CreateDisposition::FILE_OPEN | CreateDisposition::FILE_OPEN_IF
        )
    {
        return Err(NtStatus::INVALID_PARAMETER);
    }
    // The parent is opened as the target of a rename or link.
    if request.open_target_directory {
        return Err(NtStatus::MEDIA_WRITE_PROTECTED);
    }
    Ok(())
}

/// The rights that an open gets on a read-only volume. The security descriptor is the edge's to check.
fn grant(desired: AccessMask) -> Result<(AccessMask, bool), NtStatus> {
    let desired = desired.map_generic();
    if desired.intersects(AccessMask::CHANGING) {
        return Err(NtStatus::MEDIA_WRITE_PROTECTED);
    }
    let maximum = desired.contains(AccessMask::MAXIMUM_ALLOWED);
    let granted = desired.without(AccessMask::MAXIMUM_ALLOWED);
    Ok((if maximum { granted | READING } else { granted }, maximum))
}

/// Opens the volume itself.
fn open_volume<V: Volume>(vcb: &Vcb<V>, request: &Request<'_, V>) -> Result<Plan<V>, NtStatus> {
    if request.options.contains(CreateOptions::FILE_DIRECTORY_FILE) {
        return Err(NtStatus::NOT_A_DIRECTORY);
    }
    if request.options.contains(CreateOptions::FILE_DELETE_ON_CLOSE) {
        return Err(NtStatus::CANNOT_DELETE);
    }
    if !matches!(
        request.disposition,
        CreateDisposition::FILE_OPEN | CreateDisposition::FILE_OPEN_IF
    ) {
        return Err(NtStatus::MEDIA_WRITE_PROTECTED);
    }
    // Programs that lock or eject a volume ask for write access; that WRITE itself is refused is enough.
    let granted = request.desired_access.map_generic();
    let maximum_allowed = granted.contains(AccessMask::MAXIMUM_ALLOWED);
    let granted = granted.without(AccessMask::MAXIMUM_ALLOWED);
    let fcb = Fcb::volume(vcb);
    let ccb = Ccb {
        path: Vec::new(),
        granted: if maximum_allowed {
            granted | READING
        } else {
            granted
        },
        manages_volumes: false,
        options: request.options,
        case_sensitive: request.case_sensitive,
        parent: *fcb.metadata(),
        link: None,
    };
    Ok(opening(fcb, ccb, maximum_allowed))
}

fn opening<V: Volume>(fcb: Fcb<V>, ccb: Ccb, maximum_allowed: bool) -> Plan<V> {
    let attributes_only = !maximum_allowed && ccb.granted.without(ATTRIBUTES_ONLY).is_empty();
    let no_buffering = ccb
        .options
        .contains(CreateOptions::FILE_NO_INTERMEDIATE_BUFFERING);
    let information = CreateInformation::FILE_OPENED;
    Plan::Open(Opening {
        fcb,
        ccb,
        information,
        maximum_allowed,
        attributes_only,
        no_buffering,
    })
}

/// Opens what the walk found.
fn open_found<V: Volume>(
    vcb: &Vcb<V>,
    request: &Request<'_, V>,
    pathname: &Pathname<'_>,
    place: Place<V>,
) -> Result<Plan<V>, NtStatus> {
    let last = place
        .path
        .iter()
        .rposition(|unit| *unit == SEPARATOR)
        .unwrap_or(0);
    let directory_path = place.path.get(..last).unwrap_or_default();
    let link = linksup::view(vcb, directory_path, &place.node, &place.metadata)?;
    if let Some(link) = &link
        && !request.options.contains(CreateOptions::FILE_OPEN_REPARSE_POINT)
    {
        return reparse(link, components_end(request.name, pathname.components));
    }
    let is_directory = match &link {
        Some(link) => link.directory,
        None => place.metadata.kind == FileKind::Directory,
    };
    match pathname.stream {
        Stream::Unnamed => {}
        Stream::Data if place.metadata.kind == FileKind::File => {}
        Stream::Index if place.metadata.kind == FileKind::Directory => {}
        _ => return Err(missing(request.disposition)),
    }
    if !is_directory && pathname.trailing_separator {
        return Err(NtStatus::OBJECT_NAME_INVALID);
    }
    if request.disposition == CreateDisposition::FILE_CREATE {
        return Err(NtStatus::OBJECT_NAME_COLLISION);
    }
    if !is_directory && request.options.contains(CreateOptions::FILE_DIRECTORY_FILE) {
        return Err(NtStatus::NOT_A_DIRECTORY);
    }
    if is_directory && request.options.contains(CreateOptions::FILE_NON_DIRECTORY_FILE) {
        return Err(NtStatus::FILE_IS_A_DIRECTORY);
    }
    if !matches!(
        request.disposition,
        CreateDisposition::FILE_OPEN | CreateDisposition::FILE_OPEN_IF
    ) {
        // Overwriting a directory collides with it on every volume.
        let collides = is_directory && link.is_none();
        return Err(if collides {
            NtStatus::OBJECT_NAME_COLLISION
        } else {
            NtStatus::MEDIA_WRITE_PROTECTED
        });
    }
    if request.options.contains(CreateOptions::FILE_DELETE_ON_CLOSE) {
        return Err(NtStatus::MEDIA_WRITE_PROTECTED);
    }
    let (granted, maximum_allowed) = grant(request.desired_access)?;
    let ccb = Ccb {
        path: place.path,
        granted,
        manages_volumes: false,
        options: request.options,
        case_sensitive: request.case_sensitive,
        parent: place.parent,
        link,
    };
    Ok(opening(
        Fcb::new(place.node, place.metadata),
        ccb,
        maximum_allowed,
    ))
}

/// What an open of a name that does not exist ends with.
const fn missing(disposition: CreateDisposition) -> NtStatus {
    match disposition {
        CreateDisposition::FILE_OPEN | CreateDisposition::FILE_OVERWRITE => NtStatus::OBJECT_NAME_NOT_FOUND,
        _ => NtStatus::MEDIA_WRITE_PROTECTED,
    }
}

fn reparse<V: Volume>(link: &LinkView, unparsed: u16) -> Result<Plan<V>, NtStatus> {
    let data = reparse::buffer(link.tag, unparsed, &link.data)?;
    Ok(Plan::Reparse(Reparse { tag: link.tag, data }))
}

/// Decides an open.
///
/// # Errors
///
/// The status with which the IRP is completed; `IoStatus.Information` is then 0. CANT_WAIT when the context does not let
/// it wait and the disk would have to be asked: then nothing has happened, and the request can be made again by a thread
/// that may wait.
///
/// # IRQL
///
/// PASSIVE_LEVEL; may block if the context lets it.
pub fn open<V: Volume>(
    vcb: &Vcb<V>,
    context: IrpContext,
    request: &Request<'_, V>,
) -> Result<Plan<V>, NtStatus> {
    check_options(request)?;
    match decide(vcb, request, context.wait())? {
        // There is no name in such an IRP that could be parsed again.
        Plan::Reparse(_) if request.options.contains(CreateOptions::FILE_OPEN_BY_FILE_ID) => {
            Err(NtStatus::IO_REPARSE_TAG_NOT_HANDLED)
        }
        plan => Ok(plan),
    }
}

/// As [`open`], once the options are known to make sense.
fn decide<V: Volume>(vcb: &Vcb<V>, request: &Request<'_, V>, wait: Wait) -> Result<Plan<V>, NtStatus> {
    let related_is_volume = request
        .related
        .is_none_or(|(fcb, _)| fcb.kind() == FcbKind::Volume);
    if request.name.is_empty() && related_is_volume {
        return open_volume(vcb, request);
    }
    let pathname = pathname::parse(request.name, request.related.is_some())?;
    let place = match request.related {
        Some((fcb, _)) if fcb.kind() == FcbKind::Volume => return Err(NtStatus::INVALID_PARAMETER),
        // The open file itself, or a stream of it: its own path leads there.
        Some((_, ccb)) if pathname.components.is_empty() => {
            match ccb.path.strip_prefix(&[SEPARATOR]).unwrap_or_default() {
                [] => Walked::Found(root(vcb)?),
                path => walk(vcb, None, path, true, 0, None, wait)?,
            }
        }
        Some((fcb, _)) if fcb.kind() != FcbKind::Directory => return Err(NtStatus::INVALID_PARAMETER),
        None if pathname.components.is_empty() => Walked::Found(root(vcb)?),
        related => {
            // What comes after the components (a stream, a separator) is unparsed as well.
            let after = components_end(request.name, pathname.components);
            walk(
                vcb,
                related,
                pathname.components,
                request.case_sensitive,
                after,
                request.may_pass,
                wait,
            )?
        }
    };
    match place {
        Walked::Found(place) => open_found(vcb, request, &pathname, place),
        Walked::Reparse(link, unparsed) => reparse(&link, unparsed),
        Walked::Missing => Err(missing(request.disposition)),
    }
}

/// The bytes of `name` that follow `components`, which end before a stream or a trailing separator.
fn components_end(name: &[u16], components: &[u16]) -> u16 {
    let head = name.iter().take_while(|unit| **unit == SEPARATOR).count();
    let after = name.len().saturating_sub(head).saturating_sub(components.len());
    u16::try_from(after.saturating_mul(2)).unwrap_or(u16::MAX)
}
