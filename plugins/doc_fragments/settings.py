# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The settings of a VM."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  description:
    description:
      - A text for people. It may have several lines.
      - A change takes effect at once.
    type: str
  memory:
    description:
      - The memory, such as V(4GiB) or V(512MiB). A number without a unit counts MiB.
      - Units are powers of 1024, and C(K), C(M), C(G) and C(T) are short for C(KiB) and so on. C(MB) and C(GB) are
        refused, since they mean two things.
      - A new VM gets 512 MiB, and a change takes effect when the VM is next started. With O(backend=proxmox) it is at
        least 16 MiB.
    type: str
  cores:
    description:
      - The cores of each socket.
      - A new VM gets 1, and a change takes effect when the VM is next started.
    type: int
  sockets:
    description:
      - The sockets. The guest sees O(sockets) times O(cores) CPUs.
      - A new VM gets 1, and a change takes effect when the VM is next started.
    type: int
  cpu_type:
    description:
      - The model of the CPU, in the words of the backend.
      - With O(backend=qemu) it is what QEMU takes for C(-cpu). A new VM gets V(max), which is all that the host or the
        emulation can do. A change takes effect when the VM is next started.
      - With O(backend=proxmox) it is a type such as V(host) or V(x86-64-v2-AES), without flags. A new VM gets the
        default of Proxmox VE. A change takes effect when the VM is next started.
    type: str
  firmware:
    description:
      - What the VM boots with. A new VM gets V(bios).
      - With O(backend=qemu) it is said when the VM is made, and cannot be changed later.
      - With O(backend=proxmox) V(uefi) is OVMF, and a new VM gets an EFI disk C(efidisk0) with it, on the storage of
        its first disk. A VM that exists gets none, and a change takes effect when it is next started.
    type: str
    choices:
      - bios
      - uefi
  boot_order:
    description:
      - The slots from which the VM tries to boot, the first one first. All of them must be there.
      - With O(backend=qemu) the default is all disks, then the CD-ROM, then the network, and a change takes effect when
        the VM is next started.
      - With O(backend=proxmox) the server chooses the default, and a change takes effect when the VM is next started.
    type: list
    elements: str
  tags:
    description:
      - The tags of the VM, all of them. An empty list takes all away. Their order does not matter.
      - A tag has letters, digits and C(_ . + -), and begins with a letter, a digit or C(_). With O(backend=proxmox)
        capitals become small letters.
      - A change takes effect at once.
    type: list
    elements: str
  guest_agent:
    description:
      - Whether the guest is expected to have the QEMU guest agent. Then the agent is asked to shut the guest down and,
        for a snapshot or the clone of a running VM, to have the file systems written out.
      - With O(backend=qemu) every VM has the channel for the agent, so this takes effect at once. With
        O(backend=proxmox) it is the setting C(agent), without which the agent is never asked, and a change takes effect
        when the VM is next started. A new VM gets V(false).
    type: bool
  template:
    description:
      - Whether the VM is a template. A template cannot be started, and clones of it are linked ones unless something
        else is asked for.
      - Only a stopped VM can become a template. With O(backend=qemu) V(false) makes an ordinary VM of it again. With
        O(backend=proxmox) a template stays one. Clone it instead.
    type: bool
  node:
    description:
      - The host on which the VM is made. Of a VM that exists it is not compared.
      - O(backend=qemu) has no such setting. There the VM is on the host on which the module runs.
      - With O(backend=proxmox) it is a node of the cluster. A new VM is made on the node that is online and has the
        most free memory, where what other new VMs of the same task that name no node will have counts as used. A clone
        is made on the node of its source. M(anyvirt.compute.vm_migrate) moves a VM.
    type: str
  pool:
    description:
      - The pool that the VM is in.
      - O(backend=qemu) has no such setting.
      - With O(backend=proxmox) a VM is put into a pool when it is made. The pool must be there, and the VM is not moved
        to another one later.
    type: str
  disks:
    description:
      - The disks. Of a VM that exists those that are named are added or changed. Those that are not named stay as they
        are.
      - With O(backend=qemu) a disk in a C(virtio) slot can be added while the VM runs, as long as there is a free port.
        So can one in a C(scsi) slot if the VM had a SCSI device when it was started. One in a C(sata) slot is added
        when the VM is next started.
      - With O(backend=proxmox) a disk in a C(virtio) or C(scsi) slot is added at once, and one in a C(sata) or C(ide)
        slot when the VM is next started. What else a disk can have, such as C(discard) or C(iothread), is in O(native)
        under its slot.
    type: list
    elements: dict
    suboptions:
      slot:
        description:
          - Where the disk is attached, such as V(virtio0), V(scsi0) or V(sata0).
          - A disk without a slot gets V(virtio0), V(virtio1) and so on by its position in the list. Say the slot where
            a list may lose its first entries.
          - With O(backend=qemu) it is a C(virtio) slot, V(scsi0) to V(scsi30), or V(sata0) to V(sata5).
          - With O(backend=proxmox) it is V(virtio0) to V(virtio15), V(scsi0) to V(scsi30), V(sata0) to V(sata5), or
            V(ide0) to V(ide3). The model of the SCSI controller is C(scsihw) in O(native).
        type: str
      size:
        description:
          - The size, such as V(20GiB). A number without a unit counts GiB. The units are those of O(memory).
          - A disk is grown where it is smaller, at once, also while the VM runs. The guest has to grow its partitions
            and file systems itself.
          - A smaller size than the disk has is refused.
          - A new disk needs a size or a O(disks[].source). With a source the size is at least that of the image, which
            is also the default.
        type: str
      storage:
        description:
          - The storage that a new disk is put on.
          - O(backend=qemu) has no such setting. There disks lie in O(state_dir).
          - With O(backend=proxmox) every new disk needs it. A disk that exists is not moved to another storage.
        type: str
      format:
        description:
          - The format of the disk's file. It is said when the disk is made, and cannot be changed later.
          - With O(backend=qemu) a new disk gets V(qcow2). A VM with a disk in format V(raw) can neither have snapshots
            nor be suspended.
          - With O(backend=proxmox) the default is that of the storage, and a storage without files has V(raw) only. A
            VM with a V(raw) disk on a storage with files cannot have snapshots.
        type: str
        choices:
          - qcow2
          - raw
      source:
        description:
          - An image whose content a new disk gets. It is looked at only when the disk is made.
          - With O(backend=qemu) it is the whole path of a file on the host on which the module runs, or a URL with
            C(http) or C(https). What was downloaded is kept in O(state_dir). With a O(disks[].checksum) it is used
            again without asking the server, otherwise the server is asked whether it is still good.
          - The image may have any format that QEMU can read. One that depends on another file is refused.
          - With O(backend=proxmox) it is a volume that is imported, such as V(local:import/debian-12.qcow2), or the
            disk of another VM such as V(local-lvm:vm-100-disk-0). URLs are not possible, and the whole path of a file
            of the node only for C(root@pam) with its password.
        type: str
      checksum:
        description:
          - What O(disks[].source) must have, as C(sha256:) or C(sha512:) and the digest in hexadecimal. It is looked at
            only when the disk is made.
        type: str
  nics:
    description:
      - The network cards. Of a VM that exists those that are named are added or changed. Those that are not named stay
        as they are.
      - With O(backend=qemu) a card can be added while the VM runs, as long as there is a free port.
      - With O(backend=proxmox) every change takes effect at once. What else a card can have, such as C(firewall) or
        C(rate), is in O(native) under its slot.
    type: list
    elements: dict
    suboptions:
      slot:
        description:
          - Where the card is attached, such as V(net0).
          - A card without a slot gets V(net0), V(net1) and so on by its position in the list.
        type: str
      network:
        description:
          - What the card is connected to, in the words of the backend.
          - With O(backend=qemu) it is V(user), which is QEMU's own network behind address translation and the default,
            or the name of a bridge of the host, for which the module must run as root, or the name of a tap device that
            the host has already. A change takes effect when the VM is next started.
          - With O(backend=proxmox) it is a bridge of the node, such as V(vmbr0), or a VNet. Proxmox VE 8.4 refuses a
            card without it.
        type: str
      model:
        description:
          - The model of the card.
          - With O(backend=qemu) it is V(virtio), which is the default, V(e1000e) or V(vmxnet3). A change takes effect
            when the VM is next started.
          - With O(backend=proxmox) it is V(virtio), which is the default, V(e1000), V(e1000e), V(vmxnet3), V(rtl8139)
            or another one that Proxmox VE has. A change replaces the card at once.
        type: str
      mac:
        description:
          - The MAC address. A new card gets a random one, which it keeps.
          - With O(backend=qemu) a change takes effect when the VM is next started.
        type: str
      vlan:
        description:
          - The VLAN of the card, from 1 to 4094.
          - O(backend=qemu) has no such setting. There a bridge belongs to a VLAN.
          - With O(backend=proxmox) it is the VLAN tag of the card, for which the bridge must know VLANs.
        type: int
      connected:
        description:
          - Whether the cable is plugged in. A new card gets V(true). A change takes effect at once.
        type: bool
      forwards:
        description:
          - Ports of the host that are forwarded to the guest, all of them. An empty list takes all away.
          - This is of O(backend=qemu) and the network V(user) only. Such a port is open on V(127.0.0.1) of the host. A
            change takes effect at once.
        type: list
        elements: dict
        suboptions:
          protocol:
            description:
              - The protocol.
            type: str
            choices:
              - tcp
              - udp
            default: tcp
          host_port:
            description:
              - The port of the host. It can be given away once for each protocol.
            type: int
            required: true
          guest_port:
            description:
              - The port of the guest.
            type: int
            required: true
  cdrom:
    description:
      - The CD-ROM drive. A drive is added when the VM is next started.
    type: dict
    suboptions:
      slot:
        description:
          - Where the drive is attached. A new drive needs it.
          - With O(backend=qemu) it is V(scsi0) to V(scsi30), or V(sata0) to V(sata5), and a change takes effect when
            the VM is next started.
          - With O(backend=proxmox) it is a slot such as V(ide2) or V(sata5) that no disk and no cloud-init drive has.
        type: str
      image:
        description:
          - The image in the drive. An empty text ejects it. A change takes effect at once.
          - With O(backend=qemu) it is the whole path of a file on the host on which the module runs.
          - With O(backend=proxmox) it is a volume such as V(local:iso/debian-12-netinst.iso).
        type: str
  cloud_init:
    description:
      - What cloud-init in the guest is told.
      - With O(backend=qemu) the VM gets a second CD-ROM drive with a seed of type NoCloud, which is made anew at every
        start. A change takes effect when the VM is next started. Cloud-init then takes the VM for a new instance and
        does its work again.
      - With O(backend=proxmox) a VM that has no cloud-init drive gets one, in the first free slot of V(ide2), V(ide0),
        V(ide1) and V(ide3), on the storage of its first disk. While the VM runs, the drive comes and goes when it is
        next started. A change makes what is in the drive anew at once, and the guest reads it when it next boots.
    type: dict
    suboptions:
      user:
        description:
          - A user to make. With O(backend=qemu) this user may become root by C(sudo) without a password. With
            O(backend=proxmox) it is the name of the user that the image has for this.
          - Without it the password and the keys are for the user that the image has for this.
        type: str
      password:
        description:
          - The password of the user, as it is or as a hash that begins with C($). It is not shown anywhere.
          - No backend tells it, so it is never compared. It is sent when O(cloud_init) is first given, and again when
            something else in O(cloud_init) changes.
        type: str
      ssh_keys:
        description:
          - The public SSH keys of the user, all of them.
        type: list
        elements: str
      hostname:
        description:
          - The name of the guest. The default is the name of the VM.
          - O(backend=proxmox) has no such setting. There it is always the name of the VM.
        type: str
      nameservers:
        description:
          - The addresses of name servers, all of them.
        type: list
        elements: str
      search_domains:
        description:
          - The domains in which names are looked up, all of them.
        type: list
        elements: str
      ip_config:
        description:
          - The addresses of the network cards. Cards that are not named stay as they are.
          - Where it is given for none, the guest does what its image does without being told, which commonly is DHCP.
        type: list
        elements: dict
        suboptions:
          nic:
            description:
              - The slot of the card, such as V(net0).
            type: str
            required: true
          ip:
            description:
              - The IPv4 address with the length of its prefix, such as V(192.0.2.10/24), or V(dhcp).
            type: str
          gateway:
            description:
              - The IPv4 address of the gateway.
            type: str
          ip6:
            description:
              - The IPv6 address with the length of its prefix, such as V(2001:db8::10/64), or V(dhcp).
            type: str
          gateway6:
            description:
              - The IPv6 address of the gateway.
            type: str
      user_data:
        description:
          - The whole text of the user data. It takes the place of what would be made from O(cloud_init.user),
            O(cloud_init.password) and O(cloud_init.ssh_keys).
          - Results and diffs have only a digest of it.
          - O(backend=proxmox) has no such setting. There the text is a snippet on a storage, which C(cicustom) in
            O(native) names.
        type: str
  native:
    description:
      - Settings that only this backend has, in its own words. Those that are not named stay as they are.
      - With O(backend=qemu) these are C(accel) (C(auto), C(kvm) or C(tcg); the default C(auto) is KVM where it really
        runs guests, and emulation elsewhere), C(vga) (C(std), C(virtio) or C(none)), C(kernel), C(initrd) and
        C(kernel_args) (a kernel of the host that is booted directly, with whole paths), and C(machine) (C(q35), the
        default, or a version of it such as C(pc-q35-7.2)), which is looked at only when the VM is made. They are
        checked before anything is changed, and a change takes effect when the VM is next started.
      - With O(backend=proxmox) it is any other key of the configuration in the API, such as C(onboot), C(vga),
        C(scsihw), C(numa) or C(startup). Keys and suboptions that an option of this module stands for, such as
        C(memory), C(cputype) in C(cpu), or C(bridge) in C(net0), are refused here. The message says which option.
      - With O(backend=proxmox) the value of a key that has sub-options is a dictionary. Only those that are named are
        changed, all others stay as they are. Under the slot of a disk or network card there is what it has beside the
        suboptions of O(disks) and O(nics).
      - "An example for O(backend=proxmox): V({onboot: true, vga: {type: qxl}, net0: {firewall: true}})."
      - With O(backend=proxmox) truth values are compared as C(1) and C(0), which is how results tell them. Where the
        API wants the word C(on), as for C(discard), it has to be in quotes. The server checks all of this, and its
        words are in the error. What cannot take effect at once does so when the VM is next started.
    type: dict
"""
