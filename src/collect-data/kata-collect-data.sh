#!/bin/sh
# What a report of a fault needs to say about this host, as Markdown on standard output. Nothing is changed, and values that may be
# secrets are left out. Runs with any POSIX shell; what is not installed is said to be missing.

set -u
LC_ALL=C
export LC_ALL

name=kata-collect-data.sh
version='@VERSION@'
commit='@COMMIT@'
# Lines of each log that are shown.
log_lines=50
# No program that is asked for its version may hang the report, seconds.
patience=20

usage() {
  cat <<EOF
Usage: $name [OPTION]...

Writes what a report of a fault needs to say about this host, as Markdown: versions, configuration, environment, logs, images. Needs root.

  -d, --debug     show each command of this script on standard error
  -h, --help      show this help
  -v, --version   show the version

Example:
  $name > kata-report.md
EOF
}

die() {
  echo "$name: $*" >&2
  exit 1
}

command_line="$0${*:+ $*}"
while [ $# -gt 0 ]; do
  case "$1" in
    -d | --debug) set -x ;;
    -h | --help) usage; exit 0 ;;
    -v | --version) echo "$name version $version (commit $commit)"; exit 0 ;;
    *) die "no such option: $1; $name --help shows what there is" ;;
  esac
  shift
done
[ "$(id -u)" -eq 0 ] || die "it needs root: the configuration, the logs and the images may be root's"

# The programs of an installation lie beside one another.
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
PATH="$here:$PATH:/usr/local/bin:/opt/kata/bin"
export PATH

work=$(mktemp -d) || die "no directory for intermediate files"
loop=
mounted=
clean_up() {
  [ -n "$mounted" ] && umount "$work/root" 2>/dev/null
  [ -n "$loop" ] && losetup -d "$loop" 2>/dev/null
  rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 1' HUP INT TERM

have() { command -v "$1" >/dev/null 2>&1; }

within() {
  if have timeout; then timeout "$patience" "$@"; else "$@"; fi
}

# Leaves out what comes behind a word that names a secret, in TOML, JSON, YAML and logs, and what looks like one.
without_secrets() {
  sed -E \
    -e 's/(Bearer|Basic) +[A-Za-z0-9+\/=._-]+/\1 (left out)/g' \
    -e 's/(([A-Za-z0-9_.-]*(passw(or)?d|secret|token|credential|private_?key|api_?key|auth)[A-Za-z0-9_.-]*)"?[[:space:]]*[:=][[:space:]]*)("([^"\\]|\\.)*"|'"'[^']*'"'|[^",[:space:]]+)/\1"(left out)"/gI' \
    -e 's#(://)[^/@[:space:]]+@#\1(left out)@#g' \
    -e '/-----BEGIN [A-Z ]*PRIVATE KEY-----/,/-----END [A-Z ]*PRIVATE KEY-----/c (a private key was left out)'
}

heading() { printf '\n# %s\n\n' "$1"; }
subheading() { printf '\n## %s\n\n' "$1"; }

# A fence that the content cannot end.
fenced() {
  printf '~~~~~~%s\n' "${1:-}"
  without_secrets | sed 's/^~~~~~~/ ~~~~~~/'
  printf '~~~~~~\n'
}

show_command() {
  printf 'Output of `%s`:\n\n' "$*"
  if have "$1"; then within "$@" 2>&1 </dev/null | fenced; else printf 'No `%s`.\n' "$1"; fi
}

show_file() {
  if [ -r "$1" ]; then
    printf 'File `%s`:\n\n' "$1"
    fenced <"$1"
  else
    printf 'No file `%s`.\n' "$1"
  fi
}

show_meta() {
  heading Meta
  printf -- '- Script: %s %s (commit %s)\n- Date: %s\n- Command line: `%s`\n' \
    "$name" "$version" "$commit" "$(date -u '+%Y-%m-%dT%H:%M:%SZ')" "$command_line"
}

show_runtime() {
  heading Runtime
  show_command kata-runtime --version
  subheading 'kata-runtime env'
  show_command kata-runtime env
  subheading 'kata-runtime check'
  show_command kata-runtime check --verbose
  subheading 'Sandboxes'
  show_command kata-runtime ps --no-trunc
  subheading 'Shim'
  show_command containerd-shim-kata-v2 --version
  subheading 'Monitor'
  show_command kata-monitor --version
}

show_configuration() {
  heading 'Configuration files'
  if ! have kata-runtime; then
    echo 'No `kata-runtime`.'
    return
  fi
  within kata-runtime --show-default-config-paths >"$work/paths" 2>/dev/null </dev/null
  while read -r path; do
    [ -e "$path" ] || { printf 'No file `%s`.\n\n' "$path"; continue; }
    show_file "$path"
    for dropin in "$(dirname -- "$(readlink -f -- "$path")")"/config.d/*.toml; do
      [ -e "$dropin" ] && show_file "$dropin"
    done
  done <"$work/paths"
}

# A value that `kata-runtime env` shows in a section.
env_value() {
  awk -v section="[$1]" -v key="$2" '
    /^ *\[/ { gsub(/^ +/, ""); inside = ($0 == section) }
    inside && $1 == key { sub(/^[^=]*= "?/, ""); sub(/"?$/, ""); print; exit }' "$work/env"
}

show_images() {
  heading 'Guest image'
  within kata-runtime env >"$work/env" 2>/dev/null </dev/null || true
  kernel=$(env_value Kernel Path)
  image=$(env_value Image Path)
  initrd=$(env_value Initrd Path)
  for file in "$kernel" "$image" "$initrd"; do
    if [ -n "$file" ] && [ -f "$file" ]; then
      printf -- '- `%s` (`%s`): %s bytes, SHA-256 %s\n' "$file" "$(readlink -f -- "$file")" "$(wc -c <"$file")" \
        "$(sha256sum <"$file" | cut -d' ' -f1)"
    elif [ -n "$file" ]; then
      printf -- '- `%s` is missing.\n' "$file"
    fi
  done
  for file in "$image" "$initrd"; do
    [ -n "$file" ] && [ -f "$file" ] || continue
    manifest=$(dirname -- "$(readlink -f -- "$file")")/manifest.json
    [ -r "$manifest" ] && show_file "$manifest"
  done
  subheading 'Contents of the image'
  if [ -n "$image" ] && [ -f "$image" ]; then show_disk_image "$image"; else echo 'There is no image.'; fi
  subheading 'Contents of the initrd'
  if [ -n "$initrd" ] && [ -f "$initrd" ]; then show_initrd "$initrd"; else echo 'There is no initrd.'; fi
}

# Where osbuilder says what it has built.
osbuilder_file=var/lib/osbuilder/osbuilder.yaml

# The root file system is in the first partition.
show_disk_image() {
  mkdir "$work/root"
  if loop=$(losetup --read-only --partscan --find --show -- "$1" 2>/dev/null) &&
    mount -o ro,noexec,nosuid,nodev "${loop}p1" "$work/root" 2>/dev/null; then
    mounted=yes
    show_osbuilder "$work/root"
    umount "$work/root"
    mounted=
  else
    echo 'Its root file system cannot be read.'
  fi
  [ -n "$loop" ] && losetup -d "$loop"
  loop=
}

show_initrd() {
  have cpio || { echo 'No `cpio` to read it with.'; return; }
  mkdir "$work/initrd"
  case $(head -c 4 -- "$1" | od -An -tx1 | tr -d ' ') in
    1f8b*) unpack='gzip -dc' ;;
    28b52ffd) unpack='zstd -dcq' ;;
    fd377a58) unpack='xz -dc' ;;
    02214c18 | 04224d18) unpack='lz4 -dc' ;;
    *) unpack=cat ;;
  esac
  # Only this file, and not where it says that it belongs.
  (cd "$work/initrd" && $unpack <"$1" 2>/dev/null |
    cpio --quiet --extract --make-directories --no-absolute-filenames "$osbuilder_file" "./$osbuilder_file" 2>/dev/null)
  show_osbuilder "$work/initrd"
}

show_osbuilder() {
  if [ -f "$1/$osbuilder_file" ] && [ ! -L "$1/$osbuilder_file" ]; then
    fenced yaml <"$1/$osbuilder_file"
  else
    echo 'It does not say how it was built.'
  fi
}

# The last lines of the journal with a tag, and those that tell of a fault.
show_log() {
  subheading "Log of $1"
  if ! have journalctl; then
    echo 'No `journalctl`.'
    return
  fi
  shift
  within journalctl --quiet --no-pager --output=short-iso --since=-1d "$@" >"$work/log" 2>/dev/null </dev/null
  if ! [ -s "$work/log" ]; then
    echo 'It is empty.'
    return
  fi
  echo 'Problems:'
  echo
  grep -E -i 'level="?(warn(ing)?|err(or)?|fatal|panic|crit(ical)?)|panic|fatal error' "$work/log" | tail -n "$log_lines" | fenced
  printf '\nLast lines:\n\n'
  tail -n "$log_lines" "$work/log" | fenced
}

show_logs() {
  heading Logs
  show_log 'the runtime' -t kata -t kata-runtime
  show_log 'the shim' -t containerd --grep='containerd-shim-kata|io.containerd.kata|name=kata'
  show_log 'the pool (kata-factory)' -u kata-factory
  show_log 'the monitor' -t kata-monitor
  show_log 'KSM throttler' -t kata-ksm-throttler
}

show_managers() {
  heading 'Container managers'
  subheading containerd
  show_command containerd --version
  show_file /etc/containerd/config.toml
  subheading Kubernetes
  show_command kubectl version --client
  show_command kubectl get runtimeclasses
  show_file /var/lib/kubelet/config.yaml
  subheading CRI-O
  show_command crio --version
  for file in /etc/crio/crio.conf /etc/crio/crio.conf.d/*; do [ -e "$file" ] && show_file "$file"; done
  subheading Docker
  show_command docker version
  show_file /etc/docker/daemon.json
  subheading Podman
  show_command podman --version
  show_file /etc/containers/containers.conf
}

show_packages() {
  heading Packages
  pattern='kata|qemu|cloud-hypervisor|firecracker|virtiofsd|containerd|cri-o|runc|podman|docker'
  if have dpkg-query; then
    # ${...} is dpkg-query's own.
    # shellcheck disable=SC2016
    dpkg-query -W -f='${db:Status-Abbrev} ${Package} ${Version}\n' 2>/dev/null | grep -E "$pattern" | fenced
  elif have rpm; then
    rpm -qa | grep -E "$pattern" | sort | fenced
  else
    echo 'Neither `dpkg` nor `rpm`.'
  fi
}

show_host() {
  heading Host
  show_command uname -a
  show_file /etc/os-release
  subheading 'Kernel modules'
  grep -E '^(kvm|vhost|vsock|vmw_vsock|mshv|tun|vfio)' /proc/modules 2>/dev/null | fenced
  subheading Devices
  for device in /dev/kvm /dev/mshv /dev/vhost-vsock /dev/vhost-net /dev/net/tun; do
    if [ -e "$device" ]; then ls -l "$device"; else echo "$device is missing"; fi
  done | fenced
  subheading 'Memory and disks'
  show_command free -m
  show_command df -h /run /var/lib
}

cat <<EOF
<details>
<summary>Report of kata-collect-data.sh</summary>
EOF
show_meta
show_runtime
show_configuration
show_images
show_logs
show_managers
show_packages
show_host
printf '\n</details>\n'
