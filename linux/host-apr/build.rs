//! Makes the bindings to libapr from its own headers, where the feature `apr` asks for the host.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    #[cfg(feature = "apr")]
    apr::bindings();
}

#[cfg(feature = "apr")]
mod apr {
    use std::path::{Path, PathBuf};

    /// Where Debian puts libclang 19.
    const DEBIAN_LIBCLANG: &str = "/usr/lib/llvm-19/lib";

    const HEADERS: &[&str] = &[
        "apr_file_info.h",
        "apr_file_io.h",
        "apr_general.h",
        "apr_pools.h",
        "apr_portable.h",
        "apr_shm.h",
        "apr_thread_cond.h",
        "apr_thread_mutex.h",
        "apr_thread_proc.h",
        "apr_time.h",
    ];

    pub(crate) fn bindings() {
        let library = pkg_config::Config::new()
            .atleast_version("1.4")
            .probe("apr-1")
            .expect("libapr 1.4 or later: install libapr1-dev");
        if std::env::var_os("LIBCLANG_PATH").is_none() && Path::new(DEBIAN_LIBCLANG).exists() {
            // SAFETY: a build script has one thread.
            unsafe { std::env::set_var("LIBCLANG_PATH", DEBIAN_LIBCLANG) };
        }
        let includes = library.include_paths.iter();
        let arguments = includes.map(|path| format!("-I{}", path.display()));
        let headers: String = HEADERS
            .iter()
            .map(|name| format!("#include <{name}>\n"))
            .collect();
        let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
        bindgen::Builder::default()
            .header_contents("apr.h", &headers)
            .clang_args(arguments)
            // What apr-1's own flags say of the system.
            .clang_args(["-DLINUX", "-D_REENTRANT", "-D_GNU_SOURCE"])
            .allowlist_function("apr_(initialize|strerror|time_now)")
            .allowlist_function("apr_pool_(create_ex|destroy)")
            .allowlist_function("apr_thread_(create|join|yield)")
            .allowlist_function("apr_threadattr_(create|stacksize_set)")
            .allowlist_function("apr_os_thread_current")
            .allowlist_function("apr_thread_mutex_(create|lock|unlock)")
            .allowlist_function("apr_thread_cond_(create|wait|timedwait|signal)")
            .allowlist_function("apr_shm_(create|baseaddr_get)")
            .allowlist_function("apr_file_(open|seek|read_full|info_get)")
            .allowlist_var("APR_(SUCCESS|FOPEN_READ|FOPEN_BINARY|FPROT_OS_DEFAULT|SET|END)")
            .allowlist_var("APR_(FINFO_TYPE|OS_START_SYSERR|THREAD_MUTEX_DEFAULT)")
            .derive_default(true)
            .generate_comments(false)
            .generate()
            .expect("libapr's headers parse")
            .write_to_file(out.join("apr.rs"))
            .expect("OUT_DIR can be written to");
    }
}
