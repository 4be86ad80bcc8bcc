#!/bin/sh
# Applies what udhcpc learnt and hands over in variables.
# shellcheck disable=SC2154
case $1 in
deconfig)
    ip address flush dev "$interface"
    ip link set "$interface" up
    ;;
bound | renew)
    ip address replace "$ip/$mask" dev "$interface"
    [ -z "$router" ] || ip route replace default via "${router%% *}" dev "$interface"
    for server in $dns; do echo "nameserver $server"; done >/etc/resolv.conf
    ;;
esac
