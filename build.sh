#!/usr/bin/env bash
# peftlab: one script for everything. `./build.sh help` lists the commands.
# It installs what is missing (Debian and Ubuntu; elsewhere it names the one thing to install), and builds only what changed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

NODE_WANT="20.19"      # Vite's minimum
NODE_LOCAL="22"        # what setup fetches from npm where the distribution's Node is older
EMCC_WANT="3.1.6"      # the oldest Emscripten tried (Debian 12's, Ubuntu 24.04's)
CHROMIUM_NPM="@sparticuz/chromium@153.0.0" # a headless Chromium, for systems whose package is only a snap
TOOLS=$PWD/build/tools # local tools; ignored by git

say() { printf '%s\n' "$*" >&2; }
die() {
    say "build.sh: $*"
    exit 2
}
have() { command -v "$1" >/dev/null 2>&1; }

help() {
    cat <<'TEXT'
./build.sh serve [--port N] [--built]    build what is needed and show the page (the way in for a first look)
./build.sh test [PART [FILTER]]          run every test; PART is lint, unit, double, fuzz, wasm, node or browser
./build.sh setup [--all-browsers]        install what is missing (also done by the other commands); also Firefox and WebKit
./build.sh wasm                          build/wasm/peftlab.wasm, the engine
./build.sh native                        build/native/peftlab-native, for profiling
./build.sh dist                          dist/: the site, the elements as a library, the single file
./build.sh bench [--peers | --tasks]     speed as ratios measured in one run; the tables of the task cards, trained again
./build.sh fuzz [SECONDS]                fuzz every target for SECONDS (default 600)
./build.sh fmt                           format the C sources
TEXT
}

# ---- finding tools: no output, no side effects, together well under a second ----------------------------------------------

find_tools() {
    if [ -d "$TOOLS/node_modules/.bin" ]; then PATH="$TOOLS/node_modules/.bin:$PATH"; fi
    if ! have emcc && [ -n "${EMSDK:-}" ]; then PATH="$PATH:$EMSDK/upstream/emscripten"; fi
    # Debian's Emscripten looks for acorn with Node's resolver, which does not know Debian's folder.
    if [ -d /usr/share/nodejs/acorn ]; then export NODE_PATH="${NODE_PATH:+$NODE_PATH:}/usr/share/nodejs"; fi
    export PATH EMCC="${EMCC:-emcc}"
}

node_ok() { have node && have npm && node -e '
    const [a, b] = process.versions.node.split(".").map(Number), [x, y] = process.argv[1].split(".").map(Number);
    process.exit(a > x || (a === x && b >= y) ? 0 : 1)' "$NODE_WANT"; }

find_clang() { # sets CLANG to a clang with the sanitizer and libFuzzer runtimes
    local c dir
    for c in ${PEFTLAB_CLANG:-} clang clang-{14..22}; do
        have "$c" || continue
        dir=$("$c" -print-resource-dir 2>/dev/null) || continue
        if compgen -G "$dir/lib/*/libclang_rt.fuzzer*.a" >/dev/null && compgen -G "$dir/lib/*/libclang_rt.asan*.a" >/dev/null; then
            CLANG=$c
            return 0
        fi
    done
    return 1
}

find_format() { # formatting differs between versions, so only version 14 counts
    local f
    for f in clang-format-14 clang-format; do
        if have "$f" && "$f" --version | grep -q 'version 14\.'; then
            FORMAT=$f
            return 0
        fi
    done
    return 1
}

# A snap sees neither the profiles in /tmp that the tests make nor the files they offer for upload, so it is not taken.
is_snap() {
    case $(readlink -f "$1") in */snap) return 0 ;; esac
    head -c 2000 "$1" 2>/dev/null | grep -a '/snap/bin/' >/dev/null
}

find_chromium() {
    local c
    if [ -n "${CHROME:-}" ] && have "$CHROME"; then return 0; fi
    for c in chromium google-chrome google-chrome-stable chromium-browser \
        "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome" \
        "$TOOLS/chromium/chromium" "$TOOLS"/browsers/chromium-*/chrome-linux*/chrome; do
        if have "$c" && ! is_snap "$(command -v "$c")"; then
            CHROME=$(command -v "$c")
            export CHROME
            return 0
        fi
    done
    export CHROME=
    return 1
}

tool_ok() {
    case $1 in
    make) have make ;;
    git) have git ;;
    cc) have cc || have gcc || have clang ;;
    emcc) have "$EMCC" ;;
    node) node_ok ;;
    clang) find_clang ;;
    format) find_format ;;
    chromium) find_chromium ;;
    firefox) have firefox-esr || have firefox ;;
    webkit) have WebKitWebDriver && have Xvfb && have dbus-run-session ;;
    modules) cmp -s package-lock.json node_modules/.peftlab-lock ;;
    esac
}

# ---- installing --------------------------------------------------------------------------------------------------------

is_debian() { [ -r /etc/os-release ] && grep -qE '^ID(_LIKE)?=.*(debian|ubuntu)' /etc/os-release && have apt-get; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; elif have sudo; then sudo "$@"; else die "needs root: run this once as root, or install sudo"; fi
}

apt_updated=
apt_update() {
    [ -z "$apt_updated" ] || return 0
    apt_updated=1
    as_root apt-get -qq -o DPkg::Lock::Timeout=300 update || say "apt-get update reported an error; going on with the lists there are"
}
apt_known() { apt-cache show "$1" 2>/dev/null | grep '^Package:' >/dev/null; } # no grep -q: it would break the pipe
apt_install() {
    say "  apt: $*"
    mkdir -p build
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 \
        install --no-install-recommends "$@" >build/setup.log 2>&1 || {
        tail -n 20 build/setup.log >&2
        die "apt-get could not install $* (build/setup.log)"
    }
}

apt_packages() { # the Debian packages of a tool
    local version
    case $1 in
    make) echo make ;;
    git) echo git ca-certificates ;;
    cc) echo gcc libc6-dev ;;
    emcc) echo emscripten ;;
    clang)
        version=$(apt-cache depends clang 2>/dev/null | sed -n 's/.*Depends: clang-\([0-9][0-9]*\)$/\1/p' | head -n 1)
        echo clang libc6-dev
        if [ -n "$version" ] && apt_known "libclang-rt-$version-dev"; then echo "libclang-rt-$version-dev"; fi
        ;;
    format) if apt_known clang-format-14; then echo clang-format-14; fi ;;
    chromium) # Ubuntu's chromium installs a snap: there the libraries and fonts for install_chromium
        if apt_known chromium && ! grep -q '^ID=ubuntu' /etc/os-release; then echo chromium; else echo libnss3 libexpat1 fontconfig fonts-dejavu-core fonts-liberation; fi
        ;;
    firefox) if apt_known firefox-esr; then echo firefox-esr; fi ;;
    webkit) echo webkit2gtk-driver xvfb xauth dbus ;;
    esac
}

# Node from apt where it is new enough; else apt's npm fetches the Node binary that npm itself distributes, into build/tools.
install_node() {
    local machine
    if ! have node || ! have npm; then
        apt_install nodejs
        have npm || apt_install npm
        hash -r
    fi
    node_ok && return 0
    case $(uname -m) in x86_64) machine=x64 ;; aarch64) machine=arm64 ;; *) die "Node $NODE_WANT or newer is missing: install it from nodejs.org" ;; esac
    say "  npm: node-linux-$machine@$NODE_LOCAL and npm@10 into build/tools (this system's Node is $(node --version))"
    mkdir -p "$TOOLS"
    [ -e "$TOOLS/package.json" ] || echo '{"private":true}' >"$TOOLS/package.json"
    npm install --prefix "$TOOLS" --no-fund --no-audit --loglevel=error "node-linux-$machine@$NODE_LOCAL" npm@10 >&2
    mkdir -p "$TOOLS/node_modules/.bin"
    ln -sf "../node-linux-$machine/bin/node" "$TOOLS/node_modules/.bin/node"
    find_tools
    hash -r
}

install_modules() {
    say "  npm ci: the packages of package-lock.json"
    PUPPETEER_SKIP_DOWNLOAD=1 PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1 npm ci --no-fund --no-audit --loglevel=error >&2
    cp package-lock.json node_modules/.peftlab-lock
}

# A browser for the tests where the distribution has none but a snap: the headless Chromium that npm distributes (x86-64), else what
# Playwright's installer downloads. Each counts only if it starts.
unpack_chromium() { # in the current folder
    npm pack --silent "$CHROMIUM_NPM" >/dev/null && tar -xzf ./*.tgz && node -e '
        const zlib = require("node:zlib"), fs = require("node:fs");
        fs.writeFileSync("chromium", zlib.brotliDecompressSync(fs.readFileSync("package/bin/chromium.br")), { mode: 0o755 });
        fs.copyFileSync("package/LICENSE", "LICENSE");' && ./chromium --version >/dev/null
}
install_chromium() {
    local dir=$TOOLS/chromium
    if [ "$(uname -m)" = x86_64 ]; then
        say "  npm: $CHROMIUM_NPM, a headless Chromium for the tests, into build/tools"
        rm -rf "$dir"
        mkdir -p "$dir"
        if (cd "$dir" && unpack_chromium); then
            rm -rf "$dir"/package "$dir"/*.tgz
            return 0
        fi
        rm -rf "$dir"
        say "  npm's Chromium could not be fetched or does not start here"
    fi
    say "  playwright-core install --with-deps chromium: Chromium and the libraries it needs, into build/tools/browsers"
    PLAYWRIGHT_BROWSERS_PATH=$TOOLS/browsers node node_modules/playwright-core/cli.js install --with-deps --no-shell chromium >&2 || true
}

name_it() { # the one thing to install, for systems we do not install on
    case $1 in
    cc) echo "a C compiler (gcc or clang)" ;;
    emcc) echo "Emscripten 3.1.6 or newer (emscripten.org; 'brew install emscripten' on macOS), with emcc on PATH or EMSDK set" ;;
    node) echo "Node $NODE_WANT or newer with npm (nodejs.org)" ;;
    clang) echo "clang with its sanitizer and libFuzzer runtimes" ;;
    format) echo "clang-format 14" ;;
    chromium) echo "Chromium or Google Chrome (or set CHROME to its path)" ;;
    firefox) echo "Firefox" ;;
    webkit) echo "WebKitWebDriver, Xvfb and dbus-run-session" ;;
    *) echo "$1" ;;
    esac
}

optional() { case $1 in format | clang | firefox | webkit) true ;; *) false ;; esac }

# An optional tool that this system does not offer is looked for once, and then remembered: else every command would ask apt again.
absent() { optional "$1" && grep -qsx "$1" "$TOOLS/absent"; }

ensure() { # ensure TOOL...: installs those that are missing, dies with one sentence if one stays missing
    local tool missing=() packages=()
    for tool in "$@"; do tool_ok "$tool" || absent "$tool" || missing+=("$tool"); done
    [ ${#missing[@]} -gt 0 ] || return 0
    if is_debian; then
        say "build.sh: installing what is missing: ${missing[*]}"
        for tool in "${missing[@]}"; do
            [ "$tool" = modules ] || apt_update
            # shellcheck disable=SC2207
            packages+=($(apt_packages "$tool"))
        done
        [ ${#packages[@]} -eq 0 ] || apt_install "${packages[@]}"
        hash -r
        find_tools
    fi
    for tool in "${missing[@]}"; do
        case $tool in
        node) if is_debian; then install_node; fi ;;
        modules) if node_ok; then install_modules; fi ;;
        chromium) if is_debian && ! tool_ok chromium; then install_chromium; fi ;;
        esac
        tool_ok "$tool" && continue
        optional "$tool" || die "please install $(name_it "$tool")"
        say "build.sh: going on without $(name_it "$tool"), which this system does not offer"
        mkdir -p "$TOOLS"
        echo "$tool" >>"$TOOLS/absent"
    done
}

# ---- commands ----------------------------------------------------------------------------------------------------------

jobs_count() { getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2; }
# One build at a time in this folder: a test run beside a serve would otherwise write the same objects.
LOCK=()
if have flock; then LOCK=(flock build/.lock); fi
run_make() {
    mkdir -p build
    ${LOCK[@]+"${LOCK[@]}"} make -s -j"$(jobs_count)" -f src/Makefile "$@"
}

warn_old_emcc() {
    local file version
    file=$(dirname "$(readlink -f "$(command -v "$EMCC")")")/emscripten-version.txt
    [ -r "$file" ] || return 0
    version=$(tr -d '"\n ' <"$file")
    [ "$(printf '%s\n' "$EMCC_WANT" "$version" | sort -V | head -n 1)" = "$EMCC_WANT" ] ||
        say "build.sh: this Emscripten is $version; nothing older than $EMCC_WANT has been tried"
}

build_wasm() {
    ensure make emcc
    warn_old_emcc
    run_make MODE=wasm wasm
    local file=build/wasm/peftlab.wasm
    say "$file: $(wc -c <$file | tr -d ' ') bytes, $(gzip -9c $file | wc -c | tr -d ' ') gzip"
}

build_native() {
    ensure make cc
    local cc=cc
    have cc || cc=$(command -v gcc || command -v clang)
    run_make MODE=native CC_NATIVE="${CC:-$cc}" cli
}

test_tools() { # exports what tests/run.mjs needs to know
    ensure git make cc emcc clang format node modules
    tool_ok chromium || ensure_browser
    export CC_SAN="gcc" HAVE_FUZZER=
    if find_clang; then export CC_SAN="$CLANG" HAVE_FUZZER=1; else say "build.sh: no clang with libFuzzer here; gcc runs the seeds only"; fi
    export CLANG_FORMAT='' BUILD_LOCK="${LOCK[*]:-}"
    if find_format; then CLANG_FORMAT=$FORMAT; fi
}

ensure_browser() { # a machine where no browser can be had still runs the rest; tests/run.mjs counts the browser part as failed
    (ensure chromium) || true
    tool_ok chromium || say "build.sh: going on without a browser: the browser tests will fail"
}

cmd=${1:-help}
[ $# -eq 0 ] || shift
find_tools
case $cmd in
setup)
    ensure git make cc emcc clang format node modules chromium
    if [ "${1:-}" = --all-browsers ]; then ensure firefox webkit; fi
    say "build.sh: everything is installed$(if [ -s "$TOOLS/absent" ]; then echo " that this system offers (it lacks: $(sort -u "$TOOLS/absent" | paste -sd ' ' -))"; fi)"
    ;;
wasm) build_wasm ;;
native) build_native ;;
serve)
    ensure node modules
    build_wasm
    exec node web/serve.mjs "$@"
    ;;
test)
    test_tools
    exec node tests/run.mjs "$@"
    ;;
fuzz)
    test_tools
    exec node tests/run.mjs fuzz --seconds "${1:-600}"
    ;;
bench)
    ensure node modules
    build_wasm
    run_make MODE=wasm bench
    exec node tests/bench/run.mjs "$@"
    ;;
dist)
    ensure node modules
    build_wasm
    exec node web/build.mjs "$@"
    ;;
fmt)
    ensure format
    find_format || die "please install clang-format 14 (other versions format differently)"
    find src tests -name '*.[ch]' -not -path 'src/vendor/*' -exec "$FORMAT" -i {} +
    ;;
help | -h | --help) help ;;
*)
    help >&2
    die "unknown command '$cmd'"
    ;;
esac
