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
      - V(zstack) is ZStack Cloud or ZSphere.
      - V(vsd) is TopHC, the platform of VSD, by the documents of its API. It was never tried on a real one.
      - V(qemu_api) is an HTTP manager of QEMU VMs, that of the API document or the open-source server voidVM.
      - Without this option the environment variable E(ANYVIRT_BACKEND) is used, if it is set for the module.
    type: str
    choices:
      - qemu
      - proxmox
      - zstack
      - vsd
      - qemu_api
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
      - With O(backend=vsd) it is such as V(https://tophc.example.com) or V(http://tophc.example.com:8080).
      - With O(backend=qemu_api) it is that of the manager, such as V(http://manager.example.com:3000), with or without
        C(/api) at its end.
      - With O(backend=zstack) it is that of the management node, such as V(http://zstack.example.com:8080). Without a
        scheme it is C(https), without a port 8080, and without a path C(/zstack). Where the path is another one, write
        it up to C(/v1), such as V(https://proxy.example.com:443/v1).
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
      - With O(backend=zstack) it is the name of an account, or what O(login_type) says.
      - With O(backend=vsd) it is the name alone. The O(tenant) goes with it.
      - Without this option the first of the environment variables E(ANYVIRT_USERNAME) and E(PROXMOX_USER) that is set
        for the module is used.
    type: str
    aliases:
      - api_user
  password:
    description:
      - The password of O(username). It is not used where there is a O(token_secret) or an O(access_key_secret).
      - With O(backend=vsd) only its MD5 hash is sent. That can be given instead, as C(md5:) and 32 hexadecimal digits.
        It is as good as the password, so use HTTPS.
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
      - With O(backend=vsd) it is a token that a login gave. Then there are no O(token_id) and no O(username).
      - Without this option the first of the environment variables E(ANYVIRT_TOKEN_SECRET) and E(PROXMOX_TOKEN_SECRET)
        that is set for the module is used.
    type: str
    aliases:
      - api_token_secret
  access_key_id:
    description:
      - The id of an access key of O(backend=zstack). With a key there is no session that could end, or be one too many.
      - Without this option the first of the environment variables E(ANYVIRT_ACCESS_KEY_ID) and
        E(ZSTACK_ACCESS_KEY_ID) that is set for the module is used.
    type: str
  access_key_secret:
    description:
      - The secret of the access key O(access_key_id).
      - Without this option the first of the environment variables E(ANYVIRT_ACCESS_KEY_SECRET) and
        E(ZSTACK_ACCESS_KEY_SECRET) that is set for the module is used.
    type: str
  login_type:
    description:
      - Who O(username) is on O(backend=zstack).
      - V(account) is an account, and V(user) a user of one, written as C(ACCOUNT/USER), such as V(admin/ops).
      - V(iam2) is a virtual ID of the enterprise management, and V(ldap) a user of a directory.
      - Without this option the first of the environment variables E(ANYVIRT_LOGIN_TYPE) and E(ZSTACK_LOGIN_TYPE) that
        is set for the module is used.
    type: str
    choices:
      - account
      - user
      - iam2
      - ldap
    default: account
  project:
    description:
      - The project of O(backend=zstack) in which a virtual ID works, with O(login_type=iam2).
      - Without this option the first of the environment variables E(ANYVIRT_PROJECT) and E(ZSTACK_PROJECT) that is set
        for the module is used.
    type: str
  server_timezone:
    description:
      - The time zone of the management node of O(backend=zstack), as an offset from UTC such as V(+08:00).
      - A request with an access key tells the time, and ZStack compares it with the clock on its wall. With a password
        the offset is learned from the login. The times of snapshots are read with it too.
      - Without this option the first of the environment variables E(ANYVIRT_SERVER_TIMEZONE) and
        E(ZSTACK_SERVER_TIMEZONE) that is set for the module is used.
    type: str
    default: "+00:00"
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
      - With O(backend=qemu) these are the servers from which images are downloaded. With any other
        backend it is the server at O(url).
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
  tenant:
    description:
      - The tenant of O(backend=vsd), by its name. The default is C(system), whose users work on the VMs of all tenants.
      - With O(token_secret) it is the uuid of a tenant, and without it the VMs of all tenants are meant that the token
        may see.
      - Without this option the environment variable E(ANYVIRT_TENANT) is used, if it is set for the module.
    type: str
  cluster:
    description:
      - The cluster of O(backend=vsd), by its name or its uuid. The default is that of the user. With O(token_secret) it
        is needed.
      - Without this option the environment variable E(ANYVIRT_CLUSTER) is used, if it is set for the module.
    type: str
  authorization:
    description:
      - How O(backend=vsd) is shown the token. Its documents differ.
      - V(bearer) is C(Bearer) and the token, V(plain) is the token alone.
      - Without this option the environment variable E(ANYVIRT_AUTHORIZATION) is used, if it is set for the module.
    type: str
    choices:
      - bearer
      - plain
    default: bearer
  dialect:
    description:
      - Which API the server of O(backend=qemu_api) has.
      - V(documented) is that of its document, V(voidvm) that of the open-source server. V(auto) finds it out by the
        list of VMs.
      - Without this option the environment variable E(ANYVIRT_DIALECT) is used, if it is set for the module.
    type: str
    choices:
      - auto
      - documented
      - voidvm
    default: auto
"""

    INVENTORY = r"""
options:
  backend:
    description:
      - What runs the VMs.
      - V(qemu) is QEMU on the host on which Ansible runs.
      - V(proxmox) is a cluster of Proxmox VE, or a single node.
      - V(zstack) is ZStack Cloud or ZSphere.
      - V(vsd) is TopHC, the platform of VSD, by the documents of its API. It was never tried on a real one.
      - V(qemu_api) is an HTTP manager of QEMU VMs, that of the API document or the open-source server voidVM.
    type: str
    choices:
      - qemu
      - proxmox
      - zstack
      - vsd
      - qemu_api
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
      - With O(backend=vsd) it is such as V(https://tophc.example.com) or V(http://tophc.example.com:8080).
      - With O(backend=qemu_api) it is that of the manager, such as V(http://manager.example.com:3000), with or without
        C(/api) at its end.
      - With O(backend=zstack) it is that of the management node, such as V(http://zstack.example.com:8080). Without a
        scheme it is C(https), without a port 8080, and without a path C(/zstack). Where the path is another one, write
        it up to C(/v1), such as V(https://proxy.example.com:443/v1).
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
      - With O(backend=vsd) it is the name alone. The O(tenant) goes with it.
      - With O(transport=openssh) it is the user of the host, V(root) by default.
      - With O(backend=zstack) it is the name of an account, or what O(login_type) says.
    type: str
    aliases:
      - api_user
    env:
      - name: ANYVIRT_USERNAME
      - name: PROXMOX_USER
  password:
    description:
      - The password of O(username). It is not used where there is a O(token_secret) or an O(access_key_secret).
      - With O(backend=vsd) only its MD5 hash is sent. That can be given instead, as C(md5:) and 32 hexadecimal digits.
        It is as good as the password, so use HTTPS.
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
      - With O(backend=vsd) it is a token that a login gave. Then there are no O(token_id) and no O(username).
    type: str
    aliases:
      - api_token_secret
    env:
      - name: ANYVIRT_TOKEN_SECRET
      - name: PROXMOX_TOKEN_SECRET
  access_key_id:
    description:
      - The id of an access key of O(backend=zstack). With a key there is no session that could end, or be one too many.
    type: str
    env:
      - name: ANYVIRT_ACCESS_KEY_ID
      - name: ZSTACK_ACCESS_KEY_ID
  access_key_secret:
    description:
      - The secret of the access key O(access_key_id).
    type: str
    env:
      - name: ANYVIRT_ACCESS_KEY_SECRET
      - name: ZSTACK_ACCESS_KEY_SECRET
  login_type:
    description:
      - Who O(username) is on O(backend=zstack).
      - V(account) is an account, and V(user) a user of one, written as C(ACCOUNT/USER), such as V(admin/ops).
      - V(iam2) is a virtual ID of the enterprise management, and V(ldap) a user of a directory.
    type: str
    choices:
      - account
      - user
      - iam2
      - ldap
    default: account
    env:
      - name: ANYVIRT_LOGIN_TYPE
      - name: ZSTACK_LOGIN_TYPE
  project:
    description:
      - The project of O(backend=zstack) in which a virtual ID works, with O(login_type=iam2).
    type: str
    env:
      - name: ANYVIRT_PROJECT
      - name: ZSTACK_PROJECT
  server_timezone:
    description:
      - The time zone of the management node of O(backend=zstack), as an offset from UTC such as V(+08:00).
      - A request with an access key tells the time, and ZStack compares it with the clock on its wall. With a password
        the offset is learned from the login.
    type: str
    default: "+00:00"
    env:
      - name: ANYVIRT_SERVER_TIMEZONE
      - name: ZSTACK_SERVER_TIMEZONE
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
  tenant:
    description:
      - The tenant of O(backend=vsd), by its name. The default is C(system), whose users work on the VMs of all tenants.
      - With O(token_secret) it is the uuid of a tenant, and without it the VMs of all tenants are meant that the token
        may see.
    type: str
    env:
      - name: ANYVIRT_TENANT
  cluster:
    description:
      - The cluster of O(backend=vsd), by its name or its uuid. The default is that of the user. With O(token_secret) it
        is needed.
    type: str
    env:
      - name: ANYVIRT_CLUSTER
  authorization:
    description:
      - How O(backend=vsd) is shown the token. Its documents differ.
      - V(bearer) is C(Bearer) and the token, V(plain) is the token alone.
    type: str
    choices:
      - bearer
      - plain
    default: bearer
    env:
      - name: ANYVIRT_AUTHORIZATION
  dialect:
    description:
      - Which API the server of O(backend=qemu_api) has.
      - V(documented) is that of its document, V(voidvm) that of the open-source server. V(auto) finds it out by the
        list of VMs.
    type: str
    choices:
      - auto
      - documented
      - voidvm
    default: auto
    env:
      - name: ANYVIRT_DIALECT
"""
