//! Compiles the unmodified kernels and the stand-in driver into one `libcuda.so`, and the stand-in of NCCL into
//! `libnccl.so.2`, if there is a C++ compiler.

use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    println!("cargo:rerun-if-changed=src");
    println!("cargo:rerun-if-changed=../cuda");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let library = out.join("libcuda.so");
    let built = if cfg!(target_os = "linux") {
        build(&out, &library)
    } else {
        Err("the stand-in driver supports only Linux".into())
    };
    match built {
        Ok(()) => println!("cargo:rustc-env=STANDIN_LIBRARY={}", library.display()),
        Err(why) => {
            println!("cargo:warning=the stand-in CUDA driver was not built: {why}");
            println!("cargo:rustc-env=STANDIN_LIBRARY=");
            println!("cargo:rustc-env=STANDIN_WHY={}", why.replace('\n', " "));
        }
    }
}

fn build(out: &Path, library: &Path) -> Result<(), String> {
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let kernels = here.join("../cuda");
    let mut units = vec![here.join("src/fibers.cpp"), here.join("src/driver.cpp"), here.join("src/faulty.cu")];
    for entry in fs::read_dir(&kernels).map_err(|error| format!("{}: {error}", kernels.display()))? {
        let file = entry.map_err(|error| error.to_string())?.path();
        if file.extension().is_some_and(|extension| extension == "cu") {
            units.push(file);
        }
    }
    units.sort();
    let mut compiler = cc::Build::new();
    compiler.cpp(true).std("c++17").pic(true).opt_level(2).debug(false).warnings(false);
    let tool = compiler.try_get_compiler().map_err(|error| error.to_string())?;
    let mut objects = Vec::new();
    // One command per unit, so that an error names the file. Unchanged units are recompiled as well.
    for unit in &units {
        let object = out.join(unit.file_stem().expect("a file has a name")).with_extension("o");
        let mut command = tool.to_command();
        command.args(["-fvisibility=hidden", "-fno-extern-tls-init", "-Wno-unknown-pragmas", "-pthread", "-c"]);
        // No contraction to fused multiply-add, so that debug and release builds give the same results.
        command.arg("-ffp-contract=off");
        command.arg("-include").arg(here.join("src/cuda_cpu.h")).arg("-I").arg(&kernels);
        command.args(["-x", "c++"]).arg(unit).arg("-o").arg(&object);
        run(&mut command)?;
        objects.push(object);
    }
    let mut link = tool.to_command();
    link.args(["-shared", "-Wl,-soname,libcuda.so", "-pthread"]).args(&objects).arg("-o").arg(library);
    run(&mut link)?;
    let mut nccl = tool.to_command();
    nccl.args(["-shared", "-fvisibility=hidden", "-Wl,-soname,libnccl.so.2", "-pthread"]);
    run(nccl.arg(here.join("src/nccl.cpp")).arg("-ldl").arg("-o").arg(out.join("libnccl.so.2")))
}

fn run(command: &mut std::process::Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{}: {error}", command.get_program().display()))?;
    if output.status.success() {
        return Ok(());
    }
    // A missing compiler skips the stand-in; a kernel that does not compile is an error.
    panic!("{command:?}\n{}", String::from_utf8_lossy(&output.stderr));
}
