#!/bin/sh
# Installs the outside programs that tests and benches need, from Debian or Ubuntu, and only those that are missing; what is
# named on the command line, too.
# It starts no service and enables none: the tests run these programs themselves, as their own children.
set -eu

missing=""
need() { # need PROGRAM PACKAGE
    command -v "$1" >/dev/null 2>&1 && return
    case " $missing " in *" $2 "*) ;; *) missing="$missing $2" ;; esac
}
PATH="$PATH:/usr/sbin:/sbin"
need curl curl
need haproxy haproxy
need h2load nghttp2-client
need haproxy haproxy
need nginx nginx
need prometheus prometheus
need promtool prometheus
need setpriv util-linux
need slowhttptest slowhttptest
need valgrind valgrind
for also in "$@"; do # further ones, whose packages are called as they are, or as PROGRAM:PACKAGE says
    need "${also%%:*}" "${also#*:}"
done

if [ -z "$missing" ]; then
    echo "tools: curl, h2load, haproxy, nginx, prometheus, promtool, setpriv, slowhttptest and valgrind are there"
    exit 0
fi
if ! command -v apt-get >/dev/null 2>&1; then
    echo "tools: missing:$missing (names as in Debian); there is no apt-get, install them by this system's own means" >&2
    exit 1
fi
if [ "$(id -u)" -ne 0 ]; then
    echo "tools: missing:$missing; only root can install them:" >&2
    echo "    sudo tests/tools.sh" >&2
    exit 1
fi

# Debian asks this file whether a package may start its service; one that is there already is somebody's decision.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 1' INT TERM
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi

echo "tools: installing$missing"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086 # a list of names
apt-get install -y -qq --no-install-recommends $missing >/dev/null

# Where systemd runs, these would also start at the next boot.
if [ -d /run/systemd/system ]; then
    for service in haproxy nginx prometheus; do
        case " $missing " in *" $service "*) systemctl disable --quiet "$service" ;; esac
    done
fi
echo "tools: installed$missing"
