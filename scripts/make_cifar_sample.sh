#!/usr/bin/env bash
# Creates crates/cifar-sample/data/cifar10-sample.tar.zst from a copy of CIFAR-10 as JPEG files, {train,test}/<class>/NNNN.jpg:
# the first 500 training and 100 test images of each class, in turn by class.
# The output is reproducible: fixed order, owner, time and mode in the tar, one zstd thread. The digest of the tar is verified,
# so another copy of the images is refused. The checked-in archive was created with zstd 1.5.4 and GNU tar; another zstd version may
# compress to different bytes.
set -euo pipefail

source=${1:?usage: make_cifar_sample.sh DIRECTORY_OF_JPEG_FILES [OUTPUT]}
root=$(cd "$(dirname "$0")/.." && pwd)
output=${2:-$root/crates/cifar-sample/data/cifar10-sample.tar.zst}

list() {
    local part=$1 images=$2 i class
    for ((i = 0; i < images; i++)); do
        for class in airplane automobile bird cat deer dog frog horse ship truck; do
            printf '%s/%s/%04d.jpg\n' "$part" "$class" "$i"
        done
    done
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
{ list train 500; list test 100; } >"$work/files"
tar --format=ustar --owner=0 --group=0 --numeric-owner --mtime=@0 --mode=0644 -C "$source" -T "$work/files" -cf "$work/sample.tar"
(cd "$work" && sha256sum --check --quiet --strict) <<'SUM'
82055cdde768b0eaa3582e5cd4dbef257e05498c8635f02cab3237e724da26d6  sample.tar
SUM
zstd -19 --single-thread --quiet --force "$work/sample.tar" -o "$output.part"
mv "$output.part" "$output"
sha256sum "$output"
