/* Client addresses: one spelling, networks, and the client behind proxies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "dashboard/server/address.h"

static struct address parsed(const char *text)
{
    struct address address;

    if (!address_parse(text, strlen(text), &address))
        fail_msg("%s is an address", text);
    return address;
}

static void an_address_has_one_spelling(void **state)
{
    static const char *const cases[][2] = {
        {"192.0.2.1", "192.0.2.1"},
        {"192.0.2.1:8080", "192.0.2.1"},
        {"::ffff:192.0.2.1", "192.0.2.1"},
        {"2001:DB8::1", "2001:db8::1"},
        {"2001:0db8::1", "2001:db8::1"},
        {"[2001:db8::1]:443", "2001:db8::1"},
        {"[::1]", "::1"},
    };
    char out[ADDRESS_SIZE];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct address address = parsed(cases[i][0]);

        address_format(&address, out);
        assert_string_equal(out, cases[i][1]);
    }
}

static void a_text_that_is_not_an_address_is_refused(void **state)
{
    static const char *const cases[] = {"",         "unknown",   "1.2.3",    "1.2.3.4.5",
                                        "_hidden",  "[::1",      "[::1]x",   "::g",
                                        "1.2.3.4 ", "999.1.1.1", "[1.2.3.4", "fe80::1%eth0"};
    struct address address;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (address_parse(cases[i], strlen(cases[i]), &address))
            fail_msg("'%s' is taken for an address", cases[i]);
}

static void an_ipv6_client_is_counted_by_its_64(void **state)
{
    char a[ADDRESS_SIZE], b[ADDRESS_SIZE], c[ADDRESS_SIZE];
    struct address one = parsed("2001:db8:1:2::1"), two = parsed("2001:db8:1:2:ffff::9"),
                   other = parsed("2001:db8:1:3::1"), v4 = parsed("198.51.100.7");

    (void)state;
    address_key(&one, a);
    address_key(&two, b);
    address_key(&other, c);
    assert_string_equal(a, b);
    assert_string_not_equal(a, c);
    address_key(&v4, a);
    assert_string_equal(a, "198.51.100.7");
}

static void networks_are_addresses_and_cidr(void **state)
{
    struct networks networks;
    char bad[ADDRESS_SIZE];
    static const char *const in[] = {"127.0.0.1", "10.255.0.1", "2001:db8::9", "::1", "172.31.9.9"};
    static const char *const out[] = {"127.0.0.2", "11.0.0.1", "2001:db9::9", "172.32.0.1", "::2"};

    (void)state;
    assert_int_equal(
        networks_parse("127.0.0.1, 10.0.0.0/8,2001:db8::/32 ::1,172.16.0.0/12", &networks, bad), 0);
    assert_int_equal(networks.count, 5);
    for (size_t i = 0; i < 5; i++) {
        struct address yes = parsed(in[i]), no = parsed(out[i]);

        assert_true(networks_hold(&networks, &yes));
        assert_false(networks_hold(&networks, &no));
    }
    networks_free(&networks);
}

static void a_bad_entry_is_named(void **state)
{
    static const char *const cases[] = {"nonsense",       "10.0.0.0/33", "10.0.0.0/",
                                        "2001:db8::/129", "10.0.0.1:80", "10.0.0.0/-1",
                                        "10.0.0.0/8x",    "[::1]",       "10.0.0/8"};
    struct networks networks;
    char bad[ADDRESS_SIZE], list[128];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        strcpy(list, "127.0.0.1,");
        strcat(list, cases[i]);
        assert_int_equal(networks_parse(list, &networks, bad), -1);
        assert_string_equal(bad, cases[i]);
        networks_free(&networks);
    }
}

static void the_client_is_the_right_most_entry_that_is_not_a_proxy(void **state)
{
    static const struct {
        const char *peer, *forwarded, *client;
    } cases[] = {
        {"10.0.0.1", NULL, "10.0.0.1"},
        {"10.0.0.1", "203.0.113.9", "203.0.113.9"},
        {"10.0.0.1", "198.51.100.1, 203.0.113.9", "203.0.113.9"},
        {"10.0.0.1", "198.51.100.1,203.0.113.9 , 10.0.0.2", "203.0.113.9"},
        {"10.0.0.1", "198.51.100.1, nonsense, 10.0.0.2", "10.0.0.2"},
        {"10.0.0.1", "nonsense", "10.0.0.1"},
        {"10.0.0.1", "", "10.0.0.1"},
        {"10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"},
        {"10.0.0.1", "203.0.113.9:4711", "203.0.113.9"},
        {"10.0.0.1", "[2001:db8::5]:4711", "2001:db8::5"},
    };
    struct networks networks;
    char bad[ADDRESS_SIZE], out[ADDRESS_SIZE];

    (void)state;
    assert_int_equal(networks_parse("10.0.0.0/8", &networks, bad), 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct address peer = parsed(cases[i].peer),
                       client = address_behind_proxies(&networks, &peer, cases[i].forwarded);

        address_format(&client, out);
        assert_string_equal(out, cases[i].client);
    }
    networks_free(&networks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_address_has_one_spelling),
        cmocka_unit_test(a_text_that_is_not_an_address_is_refused),
        cmocka_unit_test(an_ipv6_client_is_counted_by_its_64),
        cmocka_unit_test(networks_are_addresses_and_cidr),
        cmocka_unit_test(a_bad_entry_is_named),
        cmocka_unit_test(the_client_is_the_right_most_entry_that_is_not_a_proxy),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
