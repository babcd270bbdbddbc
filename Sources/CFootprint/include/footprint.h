// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Keeps the process small and changes nothing else. To be called once, before there is a second thread.
void footprint_reduce(void);
