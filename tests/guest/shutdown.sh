#!/bin/sh
# Takes the forms that qemu-ga uses: shutdown -h {-P|-H|-r} +0 "reason".
sync
umount -a -r 2>/dev/null
case " $* " in
*" -r "*) exec reboot -f ;;
*" -H "*) exec halt -f ;;
*) exec poweroff -f ;;
esac
