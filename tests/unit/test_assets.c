/* The files of the page are in the binary, complete and with the headers that a browser needs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "dashboard/server/assets.h"

static void every_byte_of_a_file_is_there(void **state)
{
    (void)state;
    const struct asset *asset = asset_find("/index.html");
    FILE *file = fopen("dashboard/web/index.html", "rb");
    size_t at = 0;
    int c;

    assert_non_null(asset);
    if (!file) {
        fail();
        return;
    }
    for (; (c = getc(file)) != EOF; at++) {
        assert_true(at < asset->size);
        assert_int_equal(asset->bytes[at], c);
    }
    assert_int_equal(at, asset->size);
    fclose(file);
}

static void the_root_is_the_index(void **state)
{
    (void)state;
    const struct asset *root = asset_find("/"), *index = asset_find("/index.html");

    assert_non_null(root);
    assert_ptr_equal(root->bytes, index->bytes);
    assert_string_equal(root->content_type, "text/html; charset=utf-8");
}

static void an_unknown_path_is_not_found(void **state)
{
    (void)state;
    assert_null(asset_find(""));
    assert_null(asset_find("/nothing"));
    assert_null(asset_find("/../Makefile"));
    assert_null(asset_find("/index.html/"));
}

static void an_etag_is_quoted_and_of_the_content(void **state)
{
    (void)state;
    const char *etag = asset_find("/")->etag;

    assert_int_equal(strlen(etag), 18);
    assert_int_equal(etag[0], '"');
    assert_int_equal(etag[17], '"');
    assert_string_equal(etag, asset_find("/index.html")->etag);
    assert_string_not_equal(etag, asset_find("/login.html")->etag);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_byte_of_a_file_is_there),
        cmocka_unit_test(the_root_is_the_index),
        cmocka_unit_test(an_unknown_path_is_not_found),
        cmocka_unit_test(an_etag_is_quoted_and_of_the_content),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
