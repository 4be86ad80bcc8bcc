# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the VMs are."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  backend:
    description:
      - What runs the VMs.
      - V(qemu) is QEMU on the host on which the module runs. It needs no server and no daemon.
      - V(proxmox) is a cluster of Proxmox VE, or a single node.
      - Without this option the environment variable E(ANYVIRT_BACKEND) is used, if it is set for the module.
    type: str
    choices:
      - qemu
      - proxmox
    default: qemu
  state_dir:
    description:
      - The directory in which O(backend=qemu) keeps its VMs, on the host on which the module runs.
      - The default is C(/var/lib/anyvirt) for root, and C(~/.local/state/anyvirt) for any other user.
      - It belongs to one user. It is made when it is first needed, and nobody else may read it.
      - Without this option the environment variable E(ANYVIRT_STATE_DIR) is used, if it is set for the module.
    type: path
  url:
    description:
      - Where the API of O(backend=proxmox) is, such as V(https://pve1.example.com:8006). Without a scheme it is
        C(https), and without a port it is 8006.
      - Of several the first one is used. When no answer comes from it, what was asked is asked of the next one. What
        changes something is sent only once, and after a lost answer the cluster is asked whether it was done. Name
        several nodes of one cluster, or one address that is always up.
      - With O(transport=openssh) only the name of the host is used of it. With O(transport=local) it is not needed.
      - Without this option the first of the environment variables E(ANYVIRT_URL), E(PROXMOX_URL) and E(PROXMOX_HOST)
        that is set for the module is used. There several are separated by commas.
    type: list
    elements: str
    aliases:
      - api_host
  username:
    description:
      - The user of O(backend=proxmox), with its realm, such as V(root@pam) or V(ansible@pve).
      - With O(transport=openssh) it is the user of the host, V(root) by default.
      - Without this option the first of the environment variables E(ANYVIRT_USERNAME) and E(PROXMOX_USER) that is set
        for the module is used.
    type: str
    aliases:
      - api_user
  password:
    description:
      - The password of O(username). It is not used where there is a O(token_secret).
      - Without this option the first of the environment variables E(ANYVIRT_PASSWORD) and E(PROXMOX_PASSWORD) that is
        set for the module is used.
    type: str
    aliases:
      - api_password
  token_id:
    description:
      - The id of an API token of O(backend=proxmox), such as V(ansible@pve!playbooks), which is the user, the realm and
        the name of the token. With O(username) the name alone will do.
      - Without this option the first of the environment variables E(ANYVIRT_TOKEN_ID) and E(PROXMOX_TOKEN_ID) that is
        set for the module is used.
    type: str
    aliases:
      - api_token_id
  token_secret:
    description:
      - The secret of the token O(token_id).
      - Without this option the first of the environment variables E(ANYVIRT_TOKEN_SECRET) and E(PROXMOX_TOKEN_SECRET)
        that is set for the module is used.
    type: str
    aliases:
      - api_token_secret
  transport:
    description:
      - How O(backend=proxmox) is reached.
      - V(https) is the API over the network, with a token or a password.
      - V(local) is the command C(pvesh) on the host on which the module runs. It must be a node of the cluster, and the
        module must run as root. There are no credentials.
      - V(openssh) is the same command on the host of O(url), over SSH with the keys of the user who runs the module.
      - C(pvesh) waits for every task that it begins, so with V(local) and V(openssh) neither O(ignore:timeout) nor
        O(ignore:wait) cuts that short. A password for cloud-init is refused there, since it would be seen among the
        arguments of the command.
      - Without this option the environment variable E(ANYVIRT_TRANSPORT) is used, if it is set for the module.
    type: str
    choices:
      - https
      - local
      - openssh
    default: https
  validate_certs:
    description:
      - Whether the certificates of servers are checked.
      - With O(backend=qemu) these are the servers from which images are downloaded. With O(backend=proxmox) it is the
        server at O(url).
      - Without this option the first of the environment variables E(ANYVIRT_VALIDATE_CERTS) and
        E(PROXMOX_VALIDATE_CERTS) that is set for the module is used.
    type: bool
    default: true
  ca_path:
    description:
      - A file with the certificates of authorities to trust, instead of those that the system trusts.
      - The authority of a cluster of Proxmox VE is in the file C(/etc/pve/pve-root-ca.pem) of each node.
      - Without this option the first of the environment variables E(ANYVIRT_CA_PATH) and E(PROXMOX_CA_PATH) that is set
        for the module is used.
    type: path
"""

    INVENTORY = r"""
options:
  backend:
    description:
      - What runs the VMs.
      - V(qemu) is QEMU on the host on which Ansible runs.
      - V(proxmox) is a cluster of Proxmox VE, or a single node.
    type: str
    choices:
      - qemu
      - proxmox
    default: qemu
    env:
      - name: ANYVIRT_BACKEND
  state_dir:
    description:
      - The directory in which O(backend=qemu) keeps its VMs.
      - The default is C(/var/lib/anyvirt) for root, and C(~/.local/state/anyvirt) for any other user.
    type: path
    env:
      - name: ANYVIRT_STATE_DIR
  url:
    description:
      - Where the API of O(backend=proxmox) is, such as V(https://pve1.example.com:8006). Without a scheme it is
        C(https), and without a port it is 8006.
      - Of several the first one that answers is used. In an environment variable they are separated by commas.
    type: list
    elements: str
    aliases:
      - api_host
    env:
      - name: ANYVIRT_URL
      - name: PROXMOX_URL
      - name: PROXMOX_HOST
  username:
    description:
      - The user of O(backend=proxmox), with its realm, such as V(root@pam) or V(ansible@pve).
      - With O(transport=openssh) it is the user of the host, V(root) by default.
    type: str
    aliases:
      - api_user
    env:
      - name: ANYVIRT_USERNAME
      - name: PROXMOX_USER
  password:
    description:
      - The password of O(username). It is not used where there is a O(token_secret).
    type: str
    aliases:
      - api_password
    env:
      - name: ANYVIRT_PASSWORD
      - name: PROXMOX_PASSWORD
  token_id:
    description:
      - The id of an API token of O(backend=proxmox), such as V(ansible@pve!inventory), which is the user, the realm and
        the name of the token. With O(username) the name alone will do.
    type: str
    aliases:
      - api_token_id
    env:
      - name: ANYVIRT_TOKEN_ID
      - name: PROXMOX_TOKEN_ID
  token_secret:
    description:
      - The secret of the token O(token_id).
    type: str
    aliases:
      - api_token_secret
    env:
      - name: ANYVIRT_TOKEN_SECRET
      - name: PROXMOX_TOKEN_SECRET
  transport:
    description:
      - How O(backend=proxmox) is reached.
      - V(https) is the API over the network, with a token or a password.
      - V(local) is the command C(pvesh) on the host on which Ansible runs, which must be a node of the cluster.
      - V(openssh) is the same command on the host of O(url), over SSH with the keys of the user who runs Ansible.
    type: str
    choices:
      - https
      - local
      - openssh
    default: https
    env:
      - name: ANYVIRT_TRANSPORT
  validate_certs:
    description:
      - Whether the certificate of the server at O(url) is checked.
    type: bool
    default: true
    env:
      - name: ANYVIRT_VALIDATE_CERTS
      - name: PROXMOX_VALIDATE_CERTS
  ca_path:
    description:
      - A file with the certificates of authorities to trust, instead of those that the system trusts.
      - The authority of a cluster of Proxmox VE is in the file C(/etc/pve/pve-root-ca.pem) of each node.
    type: path
    env:
      - name: ANYVIRT_CA_PATH
      - name: PROXMOX_CA_PATH
"""
