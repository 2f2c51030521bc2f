//! The native ABI from Rust, with the standard library alone: a DSA fills memory of this program.
//!
//!     rustc -o fill examples/fill.rs
//!     npx ioasid run -- ./fill

use std::os::raw::{c_int, c_ulong, c_void};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::os::unix::io::AsRawFd;
use std::sync::atomic::{AtomicU8, Ordering};

extern "C" {
    fn ioctl(fd: c_int, request: c_ulong, argument: *mut c_void) -> c_int;
}

/// struct ioasid_alloc, ioasid_map and ioasid_authorize of ioasid.h: the first field is the size.
#[repr(C)]
#[derive(Default)]
struct Alloc {
    size: u32,
    flags: u32,
    kind: u32,
    parent: u32,
    pasid: u32,
    reserved: u32,
}

#[repr(C)]
#[derive(Default)]
struct Map {
    size: u32,
    flags: u32,
    pasid: u32,
    reserved: u32,
    user_va: u64,
    length: u64,
    iova: u64,
}

#[repr(C)]
#[derive(Default)]
struct Authorize {
    size: u32,
    flags: u32,
    ioasid_fd: i32,
    pasid: u32,
    vpasid: u32,
    device_cookie: u32,
}

/// struct dsa_hw_desc of linux/idxd.h.
#[repr(C)]
struct Descriptor {
    pasid: u32,
    opcode_and_flags: u32,
    completion: u64,
    pattern: [u8; 8],
    destination: u64,
    size: u32,
    rest: [u32; 7],
}

const ALLOC: c_ulong = 0xc1;
const MAP: c_ulong = 0xc3;
const AUTHORIZE: c_ulong = 0xca;
const MAP_READ_WRITE: u32 = 3;
const FILL: u32 = 4 << 24;
const RECORD: u32 = 0x0c;

/// _IOWR(';', number, T)
fn call<T>(file: &File, number: c_ulong, argument: &mut T) -> io::Result<()> {
    let request = 3 << 30 | (std::mem::size_of::<T>() as c_ulong) << 16 | (b';' as c_ulong) << 8 | number;
    match unsafe { ioctl(file.as_raw_fd(), request, argument as *mut T as *mut c_void) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

fn size_of<T>() -> u32 {
    std::mem::size_of::<T>() as u32
}

#[repr(align(4096))]
struct Page([AtomicU8; 4096]);

fn main() -> io::Result<()> {
    let open = |path| OpenOptions::new().read(true).write(true).open(path);
    let (context, device) = (open("/dev/ioasid")?, open("/dev/vfio/devices/vfio0")?);
    let page = Box::new(Page(std::array::from_fn(|_| AtomicU8::new(0))));

    let mut alloc = Alloc { size: size_of::<Alloc>(), ..Default::default() };
    call(&context, ALLOC, &mut alloc)?;
    let mut map = Map {
        size: size_of::<Map>(),
        flags: MAP_READ_WRITE,
        pasid: alloc.pasid,
        user_va: &*page as *const Page as u64,
        length: 4096,
        ..Default::default()
    };
    call(&context, MAP, &mut map)?;
    let mut authorize = Authorize {
        size: size_of::<Authorize>(),
        ioasid_fd: context.as_raw_fd(),
        pasid: alloc.pasid,
        ..Default::default()
    };
    call(&device, AUTHORIZE, &mut authorize)?;

    // Memory space and bus mastering on; region n of a device file begins at n << 40.
    device.write_all_at(&6u16.to_le_bytes(), (7 << 40) + 4)?;
    let fill = Descriptor {
        pasid: alloc.pasid,
        opcode_and_flags: FILL | RECORD,
        completion: map.iova + 2048,
        pattern: *b"ioasid! ",
        destination: map.iova,
        size: 24,
        rest: [0; 7],
    };
    let bytes = unsafe { std::slice::from_raw_parts(&fill as *const Descriptor as *const u8, 64) };
    device.write_all_at(bytes, 2 << 40)?;
    while page.0[2048].load(Ordering::Acquire) == 0 {
        std::hint::spin_loop();
    }
    let text: String = page.0[..24].iter().map(|byte| byte.load(Ordering::Relaxed) as char).collect();
    println!("status {}: {}", page.0[2048].load(Ordering::Relaxed), text);
    Ok(())
}
