# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What backend zstack needs, and how its VMs differ."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options: {}
requirements:
  - "For O(backend=zstack): ZStack Cloud 4 or 5, or ZSphere"
  - "For O(backend=zstack), on the host on which the module runs: the Python library C(requests)"
notes:
  - With O(backend=zstack) the module may run on any host that reaches the API, such as C(localhost). A session is
    always logged out, but for the one that a console of M(anyvirt.compute.vm_console) needs.
  - With O(backend=zstack) images, networks, hosts, storages, clusters, zones and instance offerings are named by name
    or by uuid. A name that fits several is refused. The C(id) of a VM is its uuid, without dashes. A VM that is made
    with an C(id) gets that uuid, and one that was destroyed with it is recovered.
  - With O(backend=zstack) disks are C(virtio0), which is the root disk, C(virtio1) and so on, and network cards
    C(net0), C(net1) and so on, as ZStack numbers them. A VM has one card at most in each L3 network.
  - With O(backend=zstack) nothing waits for a restart. Memory and cores grow while the VM runs where hot plug is on,
    the global setting C(vm.numa). What needs a stopped VM is refused while it runs, and C(apply=reboot) of
    M(anyvirt.compute.vm_config) does it between shutdown and start.
  - With O(backend=zstack) a VM that is deleted is destroyed, with its data disks, and ZStack keeps it for some days.
    With C(purge) it is expunged. A data disk that is taken away from a VM is kept.
  - With O(backend=zstack) a snapshot is one of all disks, as a group. ZStack deletes with it all that were taken after
    it, so this is refused unless they are to go too. To revert, a running VM is stopped, and started again after a
    snapshot with memory.
  - With O(backend=zstack) C(node) of a VM is the host that it runs on. A stopped VM has none.
  - "With O(backend=zstack) C(native) has: C(platform), C(guestOsType) and C(ha) (C(None), C(OnHostFailure),
    C(NeverStop) or C(FaultTolerance)), and for the making of a VM, not compared later, C(cluster), C(zone),
    C(instanceOffering), C(architecture), C(strategy) (C(CreateStopped) or C(JustCreate)), and under C(create) and
    C(clone) further parameters of CreateVmInstance and CloneVmInstance in ZStack's own words. A clone with
    C(clone.full) V(false) has the root disk only."
  - With O(backend=zstack) C(cloud_init) is user data, for which the image needs cloud-init with the data source of
    ZStack, and fixed addresses. A user that it names may become root by C(sudo) without a password.
"""
