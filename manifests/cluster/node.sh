#!/bin/sh
# The first process of the test cluster's namespaces: it makes a node of them, starts the components, and reaps the orphans of all pods.
# Everything that it mounts, sets and listens on ends with the namespaces; it writes nothing outside of the state directory.
#   node.sh STATE NODE NODE_ADDRESS POD_NETWORK QUEUE HOSTNAME
set -eu
state=$1 node=$2 address=$3 pods=$4 queue=$5
PATH="$PATH:/usr/sbin:/sbin"
hostname "$6"

mount -t proc proc /proc
mount -t sysfs sysfs /sys

# Fresh mounts of cgroup v1 show our own groups as the root.
mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup
for controller in cpu cpuacct cpuset memory devices freezer blkio pids; do
  mkdir "/sys/fs/cgroup/$controller"
  mount -t cgroup -o "$controller" cgroup "/sys/fs/cgroup/$controller"
done
mkdir /sys/fs/cgroup/systemd
mount -t cgroup -o none,name=systemd cgroup /sys/fs/cgroup/systemd

# The state gets one name inside. It is bound before other mounts can hide it.
mkdir "$state/mnt"
mount -t tmpfs -o mode=755 tmpfs "$state/mnt"
mkdir "$state/mnt/cluster"
mount --bind "$state" "$state/mnt/cluster"
# -n: mount's own notes would go to the /run that is being replaced.
mount -n --move "$state/mnt" /run
mkdir /run/netns /run/lock /run/upper /run/work /run/sysctl

# Programs write to fixed places in /var and /tmp: there they see the machine's files, and what they write is gone with the namespaces.
for place in var tmp; do
  mkdir "/run/upper/$place" "/run/work/$place"
  mount -t overlay -o "lowerdir=/$place,upperdir=/run/upper/$place,workdir=/run/work/$place" overlay "/$place"
done
# What is large goes to the disk. Images are overlays, and one overlay can't be written on another.
bound() {
  mkdir -p "/run/cluster/$1" "$2"
  mount --bind "/run/cluster/$1" "$2"
}
bound containerd /var/lib/containerd
bound kubelet /var/lib/kubelet
bound logs/pods /var/log/pods

# The kubelet sets kernel settings of the whole machine to its liking. It finds them as it likes them, and can't write others.
mount --bind /proc/sys /proc/sys
mount -o remount,bind,ro /proc/sys
mount --bind "/proc/sys/net" /proc/sys/net
mount -o remount,bind,rw /proc/sys/net
liked() {
  echo "$2" >"/run/sysctl/$1"
  mount --bind "/run/sysctl/$1" "/proc/sys/$(echo "$1" | tr . /)"
}
liked vm.overcommit_memory 1
liked vm.panic_on_oom 0
liked kernel.panic 10
liked kernel.panic_on_oops 1
liked kernel.keys.root_maxkeys 1000000
liked kernel.keys.root_maxbytes 25000000

# Volumes that the kubelet mounts must show in containers.
mount --make-rshared /

# No device leads out. The kernel has no dummy device, so the node's address is on one end of a pair, and its default route ends there.
ip link set lo up
ip link add node0 type veth peer name node0-end
ip link set node0-end up
ip address add "$address/24" dev node0
ip link set node0 up
ip route add default dev node0 src "$address"
echo 1 >/proc/sys/net/ipv4/ip_forward

# The first packets of each pod's connection wait for a verdict of the policy engine, and are dropped if there is none. The engine's own
# rules need the nft expression "queue", which the kernel here lacks. What the node itself sends, as health checks, passes.
iptables -t mangle -N POLICIES
iptables -t mangle -A POLICIES -m conntrack --ctstate ESTABLISHED,RELATED -j RETURN
iptables -t mangle -A POLICIES -o lo -j RETURN
iptables -t mangle -A POLICIES -m addrtype --src-type LOCAL -j RETURN
iptables -t mangle -A POLICIES -s "$pods" -j NFQUEUE --queue-num "$queue"
iptables -t mangle -A POLICIES -d "$pods" -j NFQUEUE --queue-num "$queue"
iptables -t mangle -A POSTROUTING -j POLICIES

# The shell stays: waiting for one child, it reaps every orphan too, as the shims of ended pods are.
"$node" "$(dirname "$0")/node.ts" &
wait $!
