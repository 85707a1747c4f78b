#!/usr/bin/env bash
# Builds the release for one target into target/dist: a tar archive, a Debian package, a bill of materials and their
# checksums. Nothing of the machine or of the time is meant to be in them: packaging/reproducible.sh compares two
# builds.
#
# Usage: packaging/dist.sh [TARGET]   default: this machine's
# Another target needs its standard library (`rustup target add TARGET`) and a linker
# (`apt install gcc-aarch64-linux-gnu`).
set -euo pipefail
fail() { echo "packaging/dist.sh: $*" >&2 && exit 1; }
cd "$(dirname "$0")/.."

host=$(rustc --print host-tuple)
target=${1:-$host}
[[ $target == *-linux-* ]] || fail "hwctl runs on Linux hosts: \`$target\` is no target for them"
[[ -d $(rustc --print sysroot)/lib/rustlib/$target/lib ]] ||
    fail "Rust's standard library for $target is missing: rustup target add $target"

version=$(cargo pkgid --quiet | sed 's/.*[#@]//')
name=hwctl-$version-$target
out=target/dist
stage=target/dist-stage/$name
# Cargo names crates after the path of cargo-auditable as well, so that is the same for all folders with this source.
tools=${XDG_CACHE_HOME:-$HOME/.cache}/hwctl-dist
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH PATH=$tools/bin:$PATH

# Programs from crates.io, each in the version that this script was written for.
install_tools() {
    local tool
    for tool in cargo-auditable@0.7.7 cargo-deb@3.8.0 cargo-cyclonedx@0.5.9; do
        if [[ ! -e $tools/$tool ]]; then
            # Quick to build rather than quick.
            cargo install --quiet --locked --root "$tools" --target-dir target/tools/build --config 'build.target="host-tuple"' \
                --config profile.release.opt-level=0 --config profile.release.lto=false "$tool"
            touch "$tools/$tool"
        fi
    done
    rm -rf target/tools/build
}

# Builds hwctl with the list of its crates inside, which `cargo audit bin` reads.
build() {
    local linker
    linker=CARGO_TARGET_$(tr 'a-z-' 'A-Z_' <<<"$target")_LINKER
    if [[ $target == aarch64-* && $host != "$target" && -z ${!linker-} ]]; then
        export "$linker=aarch64-linux-gnu-gcc"
    fi
    # Paths of this machine would be in the binary, and two machines have different ones.
    RUSTFLAGS='-C target-feature=+crt-static' RUSTC_WRAPPER=$PWD/packaging/rustc.sh \
        CFLAGS="-ffile-prefix-map=$PWD=/hwctl ${CFLAGS-}" \
        cargo auditable build --release --locked --package hwctl --bin hwctl --target "$target"
    ! grep --quiet --fixed-strings "$PWD" "target/$target/release/hwctl" || fail "the binary has a path of this machine"
}

# Lays out what the archive and the package hold.
stage() {
    local hwctl=target/$target/release/hwctl shown
    rm -rf target/dist-stage
    mkdir -p "$stage/completions" "$stage/man/man1"
    install -m 755 "$hwctl" "$stage/hwctl"
    install -m 644 LICENSE-APACHE LICENSE-MIT README.md CHANGELOG.md "$stage/"
    # Pages and completions are the same for all targets.
    shown=("$stage/hwctl")
    if [[ $target != "$host" ]]; then shown=(cargo run --quiet --locked --); fi
    "${shown[@]}" completions bash >"$stage/completions/hwctl.bash"
    "${shown[@]}" completions zsh >"$stage/completions/_hwctl"
    "${shown[@]}" completions fish >"$stage/completions/hwctl.fish"
    "${shown[@]}" man "$stage/man/man1"
}

archive() {
    tar --create --directory target/dist-stage --sort=name --format=gnu --mtime="@$SOURCE_DATE_EPOCH" \
        --owner=0 --group=0 --numeric-owner --mode=u+rw,go+r,go-w "$name" |
        gzip --best --no-name >"$out/$name.tar.gz"
}

# The files of the package are listed in Cargo.toml, below a folder that has the same name for all targets.
package() {
    ln -sfn "$name" target/dist-stage/hwctl
    cargo deb --quiet --no-build --no-strip --target "$target" --output "$out/"
}

# The crates in the binary, in CycloneDX's format.
materials() {
    cargo cyclonedx --quiet --format json --target "$target" --override-filename hwctl.cdx
    sed "s|path+file://$PWD|path+file:///hwctl|g" hwctl.cdx.json >"$out/$name.cdx.json"
    rm hwctl.cdx.json
    find . -name hwctl.cdx.json -not -path './target/*' -delete
}

step() { printf '\n== %s\n' "$*" >&2 && "$@"; }

mkdir -p "$out"
rm -f "$out/"*"$target"* "$out/"*.deb
step install_tools
step build
step stage
step archive
step package
step materials
(cd "$out" && sha256sum -- *.tar.gz *.deb *.cdx.json >SHA256SUMS)
(cd "$out" && ls -l)
