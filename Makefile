# nixfleet: builds nixfleet-run, nixfleet-report and nixfleet-dashboard.
#
#   make                 the programs, here           make install DESTDIR= PREFIX=
#   make demo            see it work (CMD='...')      make check         every test
#   make asan tsan fuzz bench lint format clean            V=1 shows the commands
#   make dist distcheck check-package                 a tarball; the tarball, tested; Debian packages, tested
#   make check-postgres                               the dashboard's tests once more, with PostgreSQL
#   make check-systemd check-powercut                 tests with systemd as PID 1; tests of a machine that loses power
#   make check-kills                                  hundreds of kills of dashboards and PostgreSQL under load
#
# Only the lists below say which directories (and their subdirectories) a program may use.
PREFIX ?= /usr/local
DESTDIR ?=
BINDIR ?= $(PREFIX)/bin
LIBEXECDIR ?= $(PREFIX)/libexec/nixfleet
DATADIR ?= $(PREFIX)/share
MANDIR ?= $(DATADIR)/man
DOCDIR ?= $(DATADIR)/doc/nixfleet
UNITDIR ?= $(PREFIX)/lib/systemd/system
USERUNITDIR ?= $(PREFIX)/lib/systemd/user
VERSION := $(shell cat VERSION)

CC ?= cc
CC_FOR_BUILD ?= $(CC)
PKG_CONFIG ?= pkg-config
# The system's Python has pytest; another Python on PATH may not have it.
PYTHON ?= $(firstword $(wildcard /usr/bin/python3) python3)
CFLAGS ?= -O2 -g
JOBS ?= $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
UNAME := $(shell uname -s)
# The directories of objects and of programs: `make asan` uses its own.
B ?= build
OUT ?= .
HARDEN ?= $(HARDEN_$(UNAME))

# ---- the sources of each program ------------------------------------------------------------------------------------------
run_DIRS := capture config common
report_DIRS := report transport changes parse config common
dashboard_DIRS := dashboard common
report_EXTRA := $(addprefix capture/,runrecord.c runfile.c runprune.c status.c)

BSD_Linux := libbsd-overlay libmd
report_PKGS := libcurl json-c libcrypto $(BSD_$(UNAME))
dashboard_PKGS := libcurl libmicrohttpd libpcre2-8 sqlite3 json-c libcrypt libcrypto liboath libpq $(BSD_$(UNAME))
all_PKGS := $(sort $(report_PKGS) $(dashboard_PKGS) cmocka)

PROGRAMS := $(basename $(wildcard nixfleet-run.c nixfleet-report.c nixfleet-dashboard.c))
DIRS := $(sort $(run_DIRS) $(report_DIRS) $(dashboard_DIRS))
sources_of = $(foreach dir,$(1),$(wildcard $(dir)/*.c $(dir)/*/*.c $(dir)/*/*/*.c))
objects = $(patsubst %.c,$(B)/%.o,$(sort $(1)))

run_OBJ := $(call objects,$(call sources_of,$(run_DIRS)))
report_OBJ := $(call objects,$(call sources_of,$(report_DIRS)) $(wildcard $(report_EXTRA)))
dashboard_OBJ := $(call objects,$(call sources_of,$(dashboard_DIRS))) $(B)/assets.o
all_OBJ := $(sort $(run_OBJ) $(report_OBJ) $(dashboard_OBJ))
WEB := $(sort $(shell find dashboard/web -type f ! -name '.*' ! -name '*.md' 2>/dev/null))

UNIT := $(patsubst tests/unit/%.c,$(B)/unit/%,$(wildcard tests/unit/test_*.c))
SHIMS := $(wildcard tests/tools/shim_*.c tests/tools/fail*.c)
TOOLS := $(patsubst tests/tools/%.c,$(B)/tools/%.so,$(SHIMS)) \
	$(patsubst tests/tools/%.c,$(B)/tools/%,$(filter-out $(SHIMS),$(wildcard tests/tools/*.c)))
BENCH := $(patsubst bench/%.c,$(B)/bench/%,$(wildcard bench/*.c))
FUZZERS := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))

# ---- flags -----------------------------------------------------------------------------------------------------------------
# json-c's macro for a loop over members is a statement expression; clang from 15 on warns about each use.
WARN := -Wall -Wextra -Wpedantic -Wshadow -Wno-gnu-statement-expression
HARDEN_Linux := -D_FORTIFY_SOURCE=2 -fstack-protector-strong
# Separate from CFLAGS: a package's build sets its own hardening in CFLAGS, and is linked with -pie all the same.
PIE_Linux := -fPIE
HARDEN_LDFLAGS_Linux := -pie -Wl,-z,relro,-z,now -Wl,--as-needed
HARDEN_Darwin := -fstack-protector-strong
# Asks for the installed packages in one call. A missing package leads to the error that a header is missing.
pkg_flags = $(shell $(PKG_CONFIG) $(1) $$(for p in $(2); do $(PKG_CONFIG) --exists $$p 2>/dev/null && echo $$p; done 2>/dev/null) 2>/dev/null)
PKG_CFLAGS := $(call pkg_flags,--cflags,$(all_PKGS))
# nixfleet-run uses no part of libc that loads libraries at run time. It is linked statically if libc.a is installed, and then
# starts in four fifths of the time. `STATIC=` links the shared libc; libbsd and libmd are static in any case.
found = $(filter /%,$(shell $(CC) -print-file-name=$(1) 2>/dev/null))
archive = $(or $(call found,lib$(1).a),-l$(1))
run_LIBS_Linux := $(call archive,bsd) $(call archive,md)
run_LIBS := $(run_LIBS_$(UNAME))
STATIC_Linux := $(if $(and $(call found,libc.a),$(call found,rcrt1.o),$(call found,libbsd.a),$(call found,libmd.a)),-static-pie)
# Sanitizers work only with the shared libc.
STATIC ?= $(if $(findstring -fsanitize,$(CFLAGS) $(LDFLAGS)),,$(STATIC_$(UNAME)))
report_LIBS := $(call pkg_flags,--libs,$(report_PKGS))
# Debian's wslay comes without a .pc file.
dashboard_LIBS := $(call pkg_flags,--libs,$(dashboard_PKGS)) -lwslay
all_LIBS := $(call pkg_flags,--libs,$(all_PKGS)) -lwslay

DEFINES := -D_GNU_SOURCE -DVERSION='"$(VERSION)"'
COMPILE = $(CC) -std=gnu11 $(DEFINES) -I. $(WARN) $(PIE_$(UNAME)) $(HARDEN) -pthread $(PKG_CFLAGS) $(CPPFLAGS) $(CFLAGS)
LINK = $(CC) $(CFLAGS) -pthread $(HARDEN_LDFLAGS_$(UNAME)) $(LDFLAGS)

Q := $(if $(V),,@)
say = @$(if $(V),:,printf '  %-6s %s\n' '$(1)' '$(2)')
P := $(if $(filter .,$(OUT)),,$(OUT)/)

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SUFFIXES:
.SECONDARY:
.PHONY: all check check-postgres check-built check-programs unit e2e web asan tsan fuzz fuzz-built bench bench-programs lint lint-built format install uninstall clean demo \
	dist distcheck check-package check-systemd check-powercut check-kills \
	deps FORCE

all: $(addprefix $(P),$(PROGRAMS))

# ---- objects, archives, programs ------------------------------------------------------------------------------------------
# If the flags (with CC) differ from the last time, everything is built again.
$(B)/flags: FORCE
	@mkdir -p $(B)
	@printf '%s\n' "$$FLAGS_NOW" | cmp -s - $@ || printf '%s\n' "$$FLAGS_NOW" >$@
$(B)/flags: export FLAGS_NOW = $(COMPILE) $(LINK) $(STATIC)

$(B)/%.o: %.c $(B)/flags
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(COMPILE) -MMD -MP -c -o $@ $<

# With another PREFIX, only this object is built again.
$(B)/capture/helpers.o: COMPILE += -DLIBEXECDIR='"$(LIBEXECDIR)"'
$(B)/capture/helpers.o: $(B)/libexecdir
$(B)/libexecdir: FORCE
	@mkdir -p $(B)
	@printf '%s\n' "$$LIBEXECDIR_NOW" | cmp -s - $@ || printf '%s\n' "$$LIBEXECDIR_NOW" >$@
$(B)/libexecdir: export LIBEXECDIR_NOW = $(LIBEXECDIR)

$(B)/embed: scripts/embed.c
	$(call say,CC,$<)
	@mkdir -p $(B)
	$(Q)$(CC_FOR_BUILD) -std=gnu11 $(WARN) -O1 -o $@ $<
# The page also depends on the list of its files: a removed file must be removed from the binary, too.
$(B)/web.list: FORCE
	@mkdir -p $(B)
	@echo '$(WEB)' | cmp -s - $@ || echo '$(WEB)' >$@
$(B)/assets.c: $(B)/embed $(WEB) $(B)/web.list
	$(call say,EMBED,dashboard/web)
	$(Q)$(B)/embed dashboard/web $(WEB) >$@
$(B)/assets.o: $(B)/assets.c dashboard/server/assets.h $(B)/flags
	$(Q)$(COMPILE) -c -o $@ $<

# One archive for each program: the linker takes the objects that are used. Objects that the program must not use are not in it.
define archive_rule
$(B)/$(1).a: $$($(1)_OBJ) $(B)/$(1).members
	@rm -f $$@
	$(Q)$$(AR) rcs $$@ $$($(1)_OBJ)
$(B)/$(1).members: FORCE
	@mkdir -p $(B)
	@echo '$$($(1)_OBJ)' | cmp -s - $$@ || echo '$$($(1)_OBJ)' >$$@
endef
$(foreach name,run report dashboard all,$(eval $(call archive_rule,$(name))))

define program_rule
$(P)nixfleet-$(1): $(B)/nixfleet-$(1).o $(B)/$(1).a
	$(call say,LINK,$$@)
	@mkdir -p $$(@D)
	$(Q)$$(if $$($(1)_STATIC),$$(filter-out -pie,$$(LINK)) $$($(1)_STATIC),$$(LINK)) -o $$@ $(B)/nixfleet-$(1).o $(B)/$(1).a $$($(1)_LIBS) $$(LDLIBS)
endef
run_STATIC := $(STATIC)
$(foreach name,run report dashboard,$(eval $(call program_rule,$(name))))

$(B)/unit/%: $(B)/tests/unit/%.o $(B)/all.a
	$(call say,LINK,$@)
	@mkdir -p $(@D)
	$(Q)$(LINK) -o $@ $< $(B)/all.a $(all_LIBS) -lm $(LDLIBS)
# The same program with a shared libc, for tests that use LD_PRELOAD.
$(B)/preload/nixfleet-run: $(B)/nixfleet-run.o $(B)/run.a
	$(call say,LINK,$@)
	@mkdir -p $(@D)
	$(Q)$(LINK) -o $@ $(B)/nixfleet-run.o $(B)/run.a $(run_LIBS) $(LDLIBS)
$(B)/tools/%.so: tests/tools/%.c $(B)/flags
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(COMPILE) -UNDEBUG -fPIC -fno-sanitize=all -MMD -MP -MT $@ -MF $@.d -shared $(filter-out -fsanitize%,$(LDFLAGS)) -o $@ $< -ldl
$(B)/tools/%: $(B)/tests/tools/%.o $(B)/all.a
	$(call say,LINK,$@)
	@mkdir -p $(@D)
	$(Q)$(LINK) -o $@ $< $(B)/all.a $(all_LIBS) -lm $(LDLIBS)
$(B)/bench/%: $(B)/bench/%.o $(B)/all.a
	$(call say,LINK,$@)
	@mkdir -p $(@D)
	$(Q)$(LINK) -o $@ $< $(B)/all.a $(all_LIBS) -lm $(LDLIBS)
$(B)/fuzz_%: $(B)/tests/fuzz/fuzz_%.o $(B)/all.a
	$(call say,LINK,$@)
	$(Q)$(LINK) -fsanitize=fuzzer -o $@ $< $(B)/all.a $(all_LIBS) -lm $(LDLIBS)

-include $(wildcard $(B)/*.d $(foreach d,$(DIRS) tests/unit tests/tools tests/fuzz bench,$(addprefix $(B)/$(d)/,*.d */*.d */*/*.d)) \
	$(B)/tools/*.d)

# ---- tests -----------------------------------------------------------------------------------------------------------------
TEST_ENV = NIXFLEET_BUILD='$(abspath $(B))' NIXFLEET_BIN_DIR='$(abspath $(OUT))' JOBS=$(JOBS)

check-programs: all $(UNIT) $(TOOLS) $(B)/preload/nixfleet-run
check:
	@scripts/install-deps check
	@$(MAKE) --no-print-directory -j$(JOBS) check-programs
	@$(TEST_ENV) $(PYTHON) tests/run unit e2e web
# The dashboard's tests, with PostgreSQL as the store.
check-postgres:
	@scripts/install-deps check
	@$(MAKE) --no-print-directory -j$(JOBS) check-programs
	@$(TEST_ENV) NIXFLEET_TEST_STORE=postgresql $(PYTHON) tests/run e2e -k e2e/test_dashboard
	@$(TEST_ENV) NIXFLEET_TEST_STORE=postgresql $(PYTHON) tests/run web -k web/test_hosts
# Kills a dashboard, PostgreSQL, and both, KILLS times each; then runs haproxy with two dashboards, 200 runs and 20 pages.
KILLS ?= 120
check-kills:
	@scripts/install-deps check
	@$(MAKE) --no-print-directory -j$(JOBS) check-programs
	@$(TEST_ENV) NIXFLEET_TEST_KILLS=$(KILLS) NIXFLEET_TEST_RUNS=200 NIXFLEET_TEST_PAGES=20 $(PYTHON) -m pytest -q -s -p no:cacheprovider \
		tests/e2e/test_dashboard_cluster.py -k 'kill'
unit e2e web:
	@scripts/install-deps $(if $(filter unit,$@),unit,check)
	@$(MAKE) --no-print-directory -j$(JOBS) check-programs
	@$(TEST_ENV) $(PYTHON) tests/run $@

SANITIZE := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined
asan:
	@scripts/install-deps check
	@$(MAKE) --no-print-directory -j$(JOBS) B=build/asan OUT=build/asan/bin HARDEN= CFLAGS='$(SANITIZE)' check-programs
	@NIXFLEET_BUILD='$(abspath build/asan)' NIXFLEET_BIN_DIR='$(abspath build/asan/bin)' NIXFLEET_ASAN=1 JOBS=$(JOBS) \
		$(PYTHON) tests/run $(or $(SUITES),unit e2e web)

# Data races: the unit tests and the dashboard, the only program with threads. Any report is a failure.
TSAN := -O1 -g -fno-omit-frame-pointer -fsanitize=thread
tsan:
	@scripts/install-deps check
	@$(MAKE) --no-print-directory -j$(JOBS) B=build/tsan OUT=build/tsan/bin HARDEN= CFLAGS='$(TSAN)' check-programs
	@rm -f build/tsan/report.*
	@for tests in $(or $(SUITES),unit 'e2e -k e2e/test_dashboard'); do \
		NIXFLEET_BUILD='$(abspath build/tsan)' NIXFLEET_BIN_DIR='$(abspath build/tsan/bin)' NIXFLEET_ASAN=1 JOBS=$(JOBS) \
			TSAN_OPTIONS='log_path=$(abspath build/tsan/report) ignore_noninstrumented_modules=1' \
			$(PYTHON) tests/run $$tests || exit 1; \
	done
	@! cat build/tsan/report.* 2>/dev/null

FUZZ_SECONDS ?= 20
fuzz:
	@scripts/install-deps fuzz
	@$(MAKE) --no-print-directory -j$(JOBS) B=build/fuzz HARDEN= CC=clang \
		CFLAGS='-O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined,fuzzer-no-link' fuzz-built
	@FUZZ_SECONDS=$(FUZZ_SECONDS) scripts/fuzz build/fuzz $(or $(TARGETS),$(FUZZERS))
fuzz-built: $(addprefix $(B)/fuzz_,$(FUZZERS))

# ---- demo, benchmarks, lint ------------------------------------------------------------------------------------------------
# CMD is for the shell: make must not expand its dollar signs.
demo: override export CMD := $(value CMD)
demo:
	@scripts/install-deps demo
	@env -u CMD $(MAKE) --no-print-directory -j$(JOBS) MAKEOVERRIDES= all
	@scripts/demo

bench:
	@scripts/install-deps bench
	@$(MAKE) --no-print-directory -j$(JOBS) bench-programs
	@$(TEST_ENV) PYTHON=$(PYTHON) scripts/bench $(BENCHMARKS)
bench-programs: all $(BENCH) $(TOOLS)

lint:
	@scripts/install-deps lint
	@$(MAKE) --no-print-directory lint-built
lint-built: export COMPILE_FLAGS = $(DEFINES) '-DLIBEXECDIR="$(LIBEXECDIR)"' $(PKG_CFLAGS)
lint-built: $(B)/assets.c
	@JOBS=$(JOBS) scripts/lint

format:
	git ls-files '*.c' '*.h' | xargs clang-format -i

# ---- install ---------------------------------------------------------------------------------------------------------------
INSTALL ?= install
BASHCOMPDIR ?= $(DATADIR)/bash-completion/completions
ZSHCOMPDIR ?= $(DATADIR)/zsh/site-functions
FISHCOMPDIR ?= $(DATADIR)/fish/vendor_completions.d
# scripts/install has the list of files, for installing and uninstalling.
install uninstall: export PROGRAM_DIR = $(OUT)
$(foreach name,INSTALL DESTDIR BINDIR LIBEXECDIR MANDIR DOCDIR BASHCOMPDIR ZSHCOMPDIR FISHCOMPDIR,\
	$(eval install uninstall: export $(name) := $($(name))))
# Only Linux has directories for systemd's units.
install uninstall: export UNITDIR := $(if $(filter Linux,$(UNAME)),$(UNITDIR))
install uninstall: export USERUNITDIR := $(if $(filter Linux,$(UNAME)),$(USERUNITDIR))
install: all
	@scripts/install install
uninstall:
	@scripts/install uninstall

# ---- release ---------------------------------------------------------------------------------------------------------------
# The same commit always makes the same tarball.
DIST := nixfleet-$(VERSION)
dist:
	@mkdir -p $(B)
	git archive --format=tar --prefix=$(DIST)/ HEAD | gzip -9n >$(B)/$(DIST).tar.gz
	@echo '$(B)/$(DIST).tar.gz'
distcheck: dist
	@scripts/distcheck $(B)/$(DIST).tar.gz
# These use virtual machines or containers and take minutes, so they are not part of check.
check-systemd check-powercut:
	@scripts/install-deps $(@:check-%=%)
	@$(MAKE) --no-print-directory -j$(JOBS) all
	@$(TEST_ENV) $(PYTHON) -m pytest -q -rs -p no:cacheprovider tests/$(@:check-%=%)

check-package:
	@scripts/install-deps package
	@tests/package.sh

deps:
	@scripts/install-deps build

clean:
	rm -rf build nixfleet-run nixfleet-report nixfleet-dashboard
