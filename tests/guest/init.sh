#!/bin/sh
# First process of the test guest: devices, modules, network, agent, then busybox's init with a shell.
export PATH=/sbin:/usr/sbin:/bin:/usr/bin HOME=/

seed() { # host name and checksum from a cloud-init NoCloud CD; unmounted again, so that the tray is free
    [ -b /dev/sr0 ] && device=$(findfs LABEL=cidata 2>/dev/null) || return
    mount -t iso9660 -o ro "$device" /mnt || return
    hostname "$(sed -n 's/.*local-hostname"\{0,1\}: *"\{0,1\}\([A-Za-z0-9.-]*\).*/\1/p' /mnt/meta-data)"
    echo "GUEST-SEED $(hostname) $(sha256sum </mnt/user-data | cut -d' ' -f1)"
    umount /mnt
}

counter() { # grows ten times a second and lives in memory only; opened without truncating, so no reader finds it empty
    n=0
    mkfifo /run/never
    exec 3<>/run/never
    while :; do
        n=$((n + 1))
        echo $n 1<>/dev/shm/counter
        # shellcheck disable=SC3045 # busybox's shell can, and so no process starts every time
        read -r -t 0.1 -u 3 _
    done
}

agent() { # without udev nobody else makes the link by name, and the name arrives a moment after the port
    link=/dev/virtio-ports/org.qemu.guest_agent.0
    mkdir -p /dev/virtio-ports
    for _ in $(seq 50); do
        for port in /sys/class/virtio-ports/*; do
            read -r name <"$port/name" && ln -sf "../${port##*/}" "/dev/virtio-ports/$name"
        done 2>/dev/null
        [ -e $link ] && exec qemu-ga -m virtio-serial -p $link -t /run -f /run/qga.pid -l /run/qga.log
        usleep 20000
    done
}

mount -a # /etc/fstab: proc, sys, dev
mkdir /dev/shm
hostname guest
# shellcheck disable=SC2046 # a list of names
modprobe -a $(cat /etc/modules)

agent &
counter &
uevent /etc/hotplug.sh >/dev/null 2>&1 &
ip link set lo up
for nic in /sys/class/net/e*; do
    [ -e "$nic" ] && ACTION=add SUBSYSTEM=net INTERFACE=${nic##*/} /etc/hotplug.sh &
done
read -r arguments </proc/cmdline
case " $arguments " in *" noacpi "*) ;; *) acpid -l /run/acpid.log ;; esac
seed
echo GUEST-READY
exec init
