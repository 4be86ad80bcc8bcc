#!/bin/sh
# Run by `uevent` for each device that comes or goes: a new NIC gets its address by DHCP.
[ "$ACTION $SUBSYSTEM" = "add net" ] || exit 0
exec udhcpc -b -S -t 5 -T 1 -A 5 -i "$INTERFACE" -s /etc/udhcpc.sh >/dev/null 2>&1
