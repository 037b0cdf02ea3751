/* The resource limits of this process, and those of the command. */
#include "limits.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/resource.h>

#ifdef __linux__
#include <ucontext.h>
#endif

/* Bytes; more than any call chain in this program needs. */
#define STACK_NEEDED ((size_t)256 * 1024)

static const int raised[] = {RLIMIT_CPU, RLIMIT_STACK, RLIMIT_AS, RLIMIT_DATA};

#define RAISED (sizeof raised / sizeof *raised)

static struct rlimit before[RAISED];
static bool changed[RAISED];

static bool raise_to(size_t i, rlim_t soft, rlim_t hard)
{
    struct rlimit limit = {.rlim_cur = soft, .rlim_max = hard};

    changed[i] = changed[i] || setrlimit(raised[i], &limit) == 0;
    return changed[i];
}

void limits_raise(void)
{
    for (size_t i = 0; i < RAISED; i++) {
        if (getrlimit(raised[i], &before[i]) < 0 || before[i].rlim_cur == RLIM_INFINITY)
            continue;
        if (raised[i] == RLIMIT_STACK && before[i].rlim_cur >= STACK_NEEDED)
            /* the stack limit also decides where the kernel maps memory, and how long argv may
             * be */
            continue;
        if (!raise_to(i, RLIM_INFINITY, RLIM_INFINITY))
            raise_to(i, before[i].rlim_max, before[i].rlim_max);
    }
}

void limits_restore(void)
{
    for (size_t i = 0; i < RAISED; i++)
        if (changed[i])
            setrlimit(raised[i], &before[i]);
}

#ifdef __linux__

/* The arguments of the function on the other stack: makecontext(3) can only pass ints. */
static struct {
    int (*run)(void *);
    void *context;
    int result;
} call;

static void run_call(void)
{
    call.result = call.run(call.context);
}

int limits_call(int (*run)(void *context), void *context)
{
    struct rlimit now;
    ucontext_t here, there;
    void *stack;

    if (getrlimit(RLIMIT_STACK, &now) < 0 || now.rlim_cur >= STACK_NEEDED)
        return run(context);
    stack = mmap(NULL, STACK_NEEDED, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (stack == MAP_FAILED || getcontext(&there) < 0)
        return run(context);
    call.run = run;
    call.context = context;
    there.uc_stack.ss_sp = stack;
    there.uc_stack.ss_size = STACK_NEEDED;
    there.uc_link = &here;
    makecontext(&there, run_call, 0);
    swapcontext(&here, &there);
    return call.result;
}

#else

int limits_call(int (*run)(void *context), void *context)
{
    return run(context);
}

#endif
