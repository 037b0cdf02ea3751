/* What the sign-in page must know before anybody is signed in. */
#include "dashboard/api/api.h"
#include "dashboard/server/server.h"

void get_sign_in(struct request *request)
{
    answer_puts(request, 200,
                request->settings->totp_secret ? "{\"code\":true}" : "{\"code\":false}");
}
