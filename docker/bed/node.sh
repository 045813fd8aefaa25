# One engine of the bed (a node of a cluster, or the builder): pid 1 of its own pid, mount, uts and ipc namespaces.
# Run as `bash -c "$(<node.sh)" MARK NAME STATE ROOTFS PARENT DOCKERD_ARGS...`; ROOTFS is / for the machine's own engine.
#
# The root is an overlay over ROOTFS whose upper layer is a tmpfs: engines share one root, write to none, and a power loss
# forgets everything except what STATE keeps (data, engine identity). /run is such a tmpfs too: after a power loss no stale
# pid file names a low pid that lives again in the new pid namespace (dockerd would wait for that "containerd" for ever).
set -e
name=$1 state=$2 rootfs=$3 parent=$4
shift 4

hostname "$name"
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs "$state/mnt"
mkdir "$state"/mnt/{upper,work,root}
mount -t overlay -o "lowerdir=$rootfs,upperdir=$state/mnt/upper,workdir=$state/mnt/work" overlay "$state/mnt/root"
root=$state/mnt/root
mkdir -p "$root"/{proc,sys,dev,run,tmp,bed,old,etc/docker,var/lib/docker,lib/modules}
chmod 1777 "$root/tmp"
for dir in proc sys dev; do mount --rbind "/$dir" "$root/$dir"; done
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
[ ! -d /lib/modules ] || mount --bind -o ro /lib/modules "$root/lib/modules"
mount --bind "$state" "$root/bed"
mount --bind "$state/data" "$root/var/lib/docker"
mount --bind "$state/etc-docker" "$root/etc/docker"
rm -f "$root/etc/resolv.conf"
cp "$state/resolv.conf" "$root/etc/resolv.conf"
printf '127.0.0.1 localhost %s\n' "$name" >"$root/etc/hosts"
# /var/run leads to /run in Debian; tasks mount /var/run/docker.sock and /var/run/docker/swarm.
[ -e "$root/var/run/" ] || ln -sfn /run "$root/var/run"
cd "$root"
pivot_root . old
umount -l /old
cd /
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

# One socket where tasks expect it, one in the state folder where the machine reaches it.
start_dockerd() {
  local tls=()
  # Certificates that somebody put there: the same over TCP, to whoever has one of the same CA.
  [ ! -e /etc/docker/server.pem ] ||
    tls=(-H tcp://0.0.0.0:2376 --tlsverify --tlscacert /etc/docker/ca.pem --tlscert /etc/docker/server.pem --tlskey /etc/docker/server-key.pem)
  rm -f /bed/docker.sock
  dockerd --data-root /var/lib/docker --exec-root /run/docker --pidfile /run/docker.pid \
    -H unix:///run/docker.sock -H unix:///bed/docker.sock "${tls[@]}" \
    --exec-opt native.cgroupdriver=cgroupfs --cgroup-parent="$parent" --storage-driver overlay2 "$@" >>/bed/dockerd.log 2>&1 &
}
# bash stays pid 1: it reaps orphaned containerd-shims; dockerd as pid 1 would leave each as a zombie.
trap : CHLD
trap 'start_dockerd "$@"' USR1
start_dockerd "$@"
while :; do
  wait || :
  sleep 0.3 || :
done
