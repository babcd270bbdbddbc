# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# A sample: the verbs of a qemu-ga fsfreeze hook in our own words.
case ${1-} in
    freeze) set -- pre-freeze ;;
    thaw | freezeFail) set -- post-thaw ;;
esac
