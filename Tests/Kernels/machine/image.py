"""What a guest has: an initramfs of Debian 12, made once, and one for each boot with what is tried there.

No disk, which would take drivers: the kernel unpacks both into memory, one after the other."""
import os
import shutil
import subprocess

from .kernels import locked

PACKAGES = {"python": ("iproute2", "kmod", "openssl", "procps", "python3"), "node": ("nodejs",)}
# What of the kernel is wanted: TCP_INFO by netlink, and a slow loopback device.
MODULES = ("inet_diag", "tcp_diag", "udp_diag", "sch_netem")
# Documentation, translations and what only apt reads: two thirds of it, which no guest has to unpack.
LEFT_OUT = (
    "usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info", "usr/share/zoneinfo", "usr/lib/locale",
    "var/lib/apt/lists", "var/cache/apt", "var/cache/debconf", "boot", "dev")


def archive(folder, path):
    """The folder as an archive that a kernel unpacks."""
    with open(f"{path}.new", "wb") as out:
        find = subprocess.Popen(["find", ".", "-mindepth", "1", "-print0"], cwd=folder, stdout=subprocess.PIPE)
        subprocess.run(
            ["cpio", "--null", "--create", "--format=newc", "--quiet", "--owner=0:0"], cwd=folder, stdin=find.stdout,
            stdout=out, check=True)
        if find.wait():
            raise subprocess.CalledProcessError(find.returncode, find.args)
    os.rename(f"{path}.new", path)


def base(servers, mirror, cache):
    """The path of Debian 12 with the servers and with what the matrix looks with."""
    packages = [package for server in ("python", *servers) for package in PACKAGES[server]]
    # The name says what is in it, so that a change of the list makes a new one.
    path = f"{cache}/debian-12,{','.join(dict.fromkeys(packages))}.cpio"
    os.makedirs(cache, exist_ok=True)
    with locked(cache):
        if not os.path.exists(path):
            make_base(packages, mirror, f"{cache}/debian.new", path)
    return path


def make_base(packages, mirror, folder, path):
    shutil.rmtree(folder, ignore_errors=True)
    made = subprocess.run(
        ["debootstrap", "--variant=minbase", f"--include={','.join(packages)}",
         "--keyring=/usr/share/keyrings/debian-archive-keyring.gpg", "bookworm", folder, mirror],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if made.returncode:
        raise RuntimeError(f"debootstrap: {made.stdout[-2000:]}")
    for name in LEFT_OUT:
        shutil.rmtree(f"{folder}/{name}", ignore_errors=True)
        os.makedirs(f"{folder}/{name}", exist_ok=True)
    # The matrix compiles Java's programs first, and no guest has Java.
    os.symlink("/bin/true", f"{folder}/usr/local/bin/javac")
    archive(folder, path)
    shutil.rmtree(folder)


def module_files(kernel):
    """Each wanted module and what it depends on; by name, since the package brings no list of dependencies."""
    files = {}
    for folder, _, names in os.walk(kernel.modules):
        for name in names:
            files[name.partition(".ko")[0]] = os.path.join(folder, name)
    return [files[name] for name in MODULES if name in files]


def boot_image(kernel, base_path, program, tests, settings, folder, path):
    """Debian 12, the kernel's modules, ebb, the tests, and what they are to play."""
    # Not under /lib, which is a link there: an archive's folder would take its place.
    modules = f"{folder}/usr/lib/modules/{kernel.version}"
    os.makedirs(modules)
    for file in module_files(kernel):
        shutil.copy(file, modules)
    os.makedirs(f"{folder}/tests/Benchmarks")
    shutil.copytree(
        f"{tests}/Benchmarks/requests", f"{folder}/tests/Benchmarks/requests",
        ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(f"{tests}/Kernels/guest/play.py", f"{folder}/tests/play.py")
    shutil.copy(f"{tests}/Kernels/guest/init", f"{folder}/init")
    shutil.copy(program, f"{folder}/tests/ebb")
    os.chmod(f"{folder}/tests/ebb", 0o755)
    with open(f"{folder}/tests/settings.json", "w") as file:
        file.write(settings)
    archive(folder, f"{path}.part")
    with open(path, "wb") as whole:
        for part in (base_path, f"{path}.part"):
            with open(part, "rb") as file:
                shutil.copyfileobj(file, whole)
    os.unlink(f"{path}.part")
