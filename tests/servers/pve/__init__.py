# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The parts of the Proxmox VE test server; ProxmoxServer in ../proxmox.py is its face."""
