# SPDX-License-Identifier: Apache-2.0
# The shapes: which disk templates a guest gets, in order from vda. A guest has one target per shape, lab-SHAPE.target.
# shellcheck shell=bash

shape_disks() {
    case $1 in
        plain) echo root.qcow2 ;;
        base) echo root.qcow2 postgresql.qcow2 mariadb.qcow2 data.raw scratch.qcow2 ;;
        storage) echo root.qcow2 xfs.qcow2 btrfs.qcow2 lvm1.qcow2 lvm2.qcow2 scratch.qcow2 ;;
        wide) echo root.qcow2 d{01..16}.qcow2 ;;
        *) usage "unknown shape '$1': plain, base, storage or wide" ;;
    esac
}

# The domain of shape $2 named $1; the disk's serial is its template's name.
domain_xml() {
    local name=$1 shape=$2 folder=$lab/guests/$1 type=qemu cpu=maximum letters=abcdefghijklmnopqrstuvwxyz index=0 disk letter
    case ${STILLPOINT_LAB_ACCEL:-tcg} in
        tcg) ;;
        kvm) type=kvm cpu=host-passthrough ;;
        *) usage "STILLPOINT_LAB_ACCEL is '$STILLPOINT_LAB_ACCEL': tcg or kvm" ;;
    esac
    cat <<XML
<domain type='$type'>
  <name>$name</name>
  <metadata>
    <lab:lab xmlns:lab='$mark'><lab:shape>$shape</lab:shape></lab:lab>
  </metadata>
  <memory unit='MiB'>1024</memory>
  <vcpu>2</vcpu>
  <os>
    <type arch='x86_64' machine='${STILLPOINT_LAB_MACHINE:-pc}'>hvm</type>
    <kernel>$folder/vmlinuz</kernel>
    <initrd>$folder/initrd.img</initrd>
    <cmdline>root=/dev/vda1 rw console=ttyS0 quiet mitigations=off no_timer_check apparmor=0 audit=0 systemd.unit=lab-$shape.target</cmdline>
  </os>
  <features><acpi/><apic/></features>
  <cpu mode='$cpu'/>
  <on_reboot>restart</on_reboot>
  <on_crash>destroy</on_crash>
  <devices>
XML
    for disk in $(shape_disks "$shape"); do
        letter=${letters:index++:1}
        cat <<XML
    <disk type='file' device='disk'>
      <driver name='qemu' type='${disk##*.}'/>
      <source file='$folder/$disk'/>
      <target dev='vd$letter' bus='virtio'/>
      <serial>${disk%.*}</serial>
    </disk>
XML
    done
    cat <<XML
    <controller type='usb' model='none'/>
    <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
    <serial type='pty'><log file='$folder/console.log' append='off'/></serial>
    <video><model type='none'/></video>
    <memballoon model='none'/>
  </devices>
</domain>
XML
}
