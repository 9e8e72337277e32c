"""Debian's cloud kernels: fetched by the hashes that the archive has signed, and unpacked once."""
import collections
import fcntl
import glob
import hashlib
import lzma
import os
import re
import shutil
import subprocess
import time
import urllib.request

ARCH = "amd64"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
# Where each is the newest kernel. A later Debian than 12 is no matter: nothing of it but the kernel is run.
SUITES = {"5.10": "bullseye", "6.1": "bookworm", "6.12": "trixie"}
# Seconds for which the list of a suite's packages is as good as new.
FRESH = 7 * 24 * 3600

Kernel = collections.namedtuple("Kernel", "name version image modules")
Package = collections.namedtuple("Package", "name version path sha256")


class Unfit(Exception):
    """What was fetched is not what was signed, or there is no such kernel."""


def locked(cache):
    """Held as long as the file is open: two runs at a time fetch once."""
    file = open(f"{cache}/lock", "w")
    fcntl.flock(file, fcntl.LOCK_EX)
    return file


def fetch(url):
    with urllib.request.urlopen(url, timeout=120) as answer:
        return answer.read()


def checked(data, sha256, what):
    if hashlib.sha256(data).hexdigest() != sha256:
        raise Unfit(f"{what}: another hash than {sha256}")
    return data


def write(path, data):
    """The whole of it or nothing."""
    with open(f"{path}.new", "wb") as file:
        file.write(data)
    os.rename(f"{path}.new", path)


def signed_hash(mirror, suite, path, cache):
    """The SHA-256 of a file of the suite, by its signed list."""
    release = f"{cache}/{suite}.InRelease"
    write(release, fetch(f"{mirror}/dists/{suite}/InRelease"))
    # What gpgv puts out is what was signed, and no more.
    text = subprocess.run(
        ["gpgv", "--quiet", "--keyring", KEYRING, "--output", "-", release],
        check=True, capture_output=True, text=True).stdout
    for line in text.partition("SHA256:")[2].splitlines():
        words = line.split()
        if len(words) == 3 and words[2] == path:
            return words[0]
    raise Unfit(f"{suite} has no {path}")


def packages(mirror, suite, cache):
    """The text of the suite's list of packages."""
    path = f"{cache}/{suite}.packages"
    if not os.path.exists(path) or time.time() - os.path.getmtime(path) > FRESH:
        name = f"main/binary-{ARCH}/Packages.xz"
        sha256 = signed_hash(mirror, suite, name, cache)
        write(path, lzma.decompress(checked(fetch(f"{mirror}/dists/{suite}/{name}"), sha256, name)))
    with open(path) as file:
        return file.read()


def parse(paragraph):
    fields = dict(line.split(": ", 1) for line in paragraph.splitlines() if re.match(r"[\w-]+: ", line))
    return Package(*(fields[name] for name in ("Package", "Version", "Filename", "SHA256")))


def newest(text):
    """The newest cloud kernel's package."""
    found = [
        parse(paragraph) for paragraph in text.split("\n\n")
        if re.match(rf"Package: linux-image-\d\S*-cloud-{ARCH}\n", paragraph)]
    if not found:
        raise Unfit("no cloud kernel")
    return max(found, key=lambda one: [int(number) for number in re.findall(r"\d+", one.version)])


def get(name, mirror, cache):
    """The kernel of that name, unpacked."""
    os.makedirs(cache, exist_ok=True)
    with locked(cache):
        package = newest(packages(mirror, SUITES[name], cache))
        folder = f"{cache}/{package.name}_{package.version.replace(':', '.')}"
        if not os.path.isdir(folder):
            unpack(package, mirror, folder)
    image, = glob.glob(f"{folder}/boot/vmlinuz-*")
    version = os.path.basename(image).removeprefix("vmlinuz-")
    modules, = glob.glob(f"{folder}/**/lib/modules/{version}", recursive=True)  # /lib, or since Debian 13 /usr/lib
    return Kernel(name, version, image, modules)


def unpack(package, mirror, folder):
    archive = f"{folder}.deb"
    if not os.path.exists(archive):
        write(archive, checked(fetch(f"{mirror}/{package.path}"), package.sha256, package.name))
    shutil.rmtree(f"{folder}.new", ignore_errors=True)
    subprocess.run(["dpkg", "-x", archive, f"{folder}.new"], check=True)
    os.rename(f"{folder}.new", folder)
    os.unlink(archive)
