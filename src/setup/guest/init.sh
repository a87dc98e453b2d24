#!/bin/sh
# The guest's first process: what a system needs to run programs, then the steps, then the end.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C NODE_OPTIONS=--no-warnings UIPVS_LAB_PATIENCE=10
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /tmp
ln -sf /proc/self/fd /dev/fd
modprobe af_packet
modprobe unix
ip link set lo up
node /uipvs/src/setup/guest/inside.mjs </dev/null >/dev/console 2>&1
# Nothing that is written after this line is read.
sync
reboot -f
