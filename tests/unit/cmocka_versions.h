/* cmocka 2 deprecates assert_in_range; cmocka 1 has no other name for the same check. */
#ifndef NIXFLEET_CMOCKA_VERSIONS_H
#define NIXFLEET_CMOCKA_VERSIONS_H

#include <cmocka.h>

#ifndef assert_uint_in_range
#define assert_uint_in_range assert_in_range
#endif

#endif
