# nixfleet: builds nixfleet-run, nixfleet-report and nixfleet-dashboard. Every .c file of a room is
# part of the program that may use that room; the lists below are the only place that says which.
PREFIX ?= /usr/local
DESTDIR ?=
BINDIR ?= $(PREFIX)/bin
LIBEXECDIR ?= $(PREFIX)/libexec/nixfleet
MANDIR ?= $(PREFIX)/share/man
VERSION := 0.1.0

CC ?= cc
PKG_CONFIG ?= pkg-config
CFLAGS ?= -O2 -g
WARN := -Wall -Wextra -Wpedantic -Wshadow
UNAME := $(shell uname -s)
B ?= build

pkg = $(shell $(PKG_CONFIG) $(1) $(2) 2>/dev/null)
ifeq ($(UNAME),Linux)
BSD := libbsd-overlay
endif

# program: its own rooms, and the libraries that it may link
run_SRC := nixfleet-run.c $(wildcard capture/*.c config/*.c common/*.c)
report_SRC := nixfleet-report.c $(wildcard transport/*.c parse/*.c config/*.c common/*.c) \
	capture/runlog.c capture/status.c
dashboard_SRC := nixfleet-dashboard.c $(wildcard dashboard/*.c dashboard/*/*.c common/*.c)
run_PKGS := $(BSD)
report_PKGS := libcurl json-c libcrypto $(BSD)
dashboard_PKGS := libmicrohttpd libwslay sqlite3 json-c libcrypt libcrypto liboath $(BSD)
