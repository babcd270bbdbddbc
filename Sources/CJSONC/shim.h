// SPDX-License-Identifier: Apache-2.0
// Nothing is wrapped: Swift can call every json-c function that the JSON target needs.
#ifndef STILLPOINT_CJSONC_H
#define STILLPOINT_CJSONC_H

#include <json-c/json.h>

#endif
