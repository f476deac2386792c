// What config promises of instance keys: typed, checked, refused by name, and every row goes there and back.
#include "config/expand.h"
#include "config/instance_keys.h"
#include "support/verify.h"

using namespace lxmgr;
using namespace lxmgr::config;

namespace
{

/// A good value of each key of the table; a row without one fails everyRowRoundTrips.
const StringMap kGood = {
    {"boot.autorestart",                 "true"             },
    {"boot.autostart",                   "true"             },
    {"boot.autostart.delay",             "5"                },
    {"boot.autostart.priority",          "-3"               },
    {"boot.host_shutdown_action",        "force-stop"       },
    {"boot.host_shutdown_timeout",       "60"               },
    {"boot.stop.priority",               "-2"               },
    {"cloud-init.network-config",        "version: 2\n"     },
    {"cloud-init.user-data",             "#cloud-config\n"  },
    {"cloud-init.vendor-data",           "#cloud-config\n"  },
    {"environment.LANG",                 "C.UTF-8"          },
    {"image.os",                         "debian"           },
    {"limits.cpu",                       "0-3,5"            },
    {"limits.cpu.allowance",             "25ms/100ms"       },
    {"limits.cpu.nodes",                 "0-1,3"            },
    {"limits.cpu.priority",              "3"                },
    {"limits.disk.priority",             "7"                },
    {"limits.hugepages.1GB",             "2GiB"             },
    {"limits.hugepages.1MB",             "0"                },
    {"limits.hugepages.2MB",             "64MiB"            },
    {"limits.hugepages.64KB",            "1MiB"             },
    {"limits.kernel.nofile",             "1024:unlimited"   },
    {"limits.memory",                    "512MiB"           },
    {"limits.memory.enforce",            "soft"             },
    {"limits.memory.oom_priority",       "-500"             },
    {"limits.memory.swap",               "1GiB"             },
    {"limits.memory.swap.priority",      "0"                },
    {"limits.network.priority",          "10"               },
    {"limits.processes",                 "500"              },
    {"linux.kernel_modules",             "ip_tables,overlay"},
    {"linux.sysctl.net.ipv4.ip_forward", "1"                },
    {"raw.idmap",                        "both 1000 1000\ngid 100-109 200-209"},
    {"security.idmap.base",              "2000000"          },
    {"security.idmap.isolated",          "true"             },
    {"security.idmap.size",              "131072"           },
    {"security.devlxd",                  "false"            },
    {"security.guestapi",                "false"            },
    {"security.nesting",                 "true"             },
    {"security.privileged",              "false"            },
    {"security.protection.delete",       "true"             },
    {"security.protection.shift",        "true"             },
    {"security.protection.start",        "true"             },
    {"security.syscalls.allow",          "read\nwrite"      },
    {"security.syscalls.deny",           "mount\numount2"   },
    {"security.syscalls.deny_compat",    "true"             },
    {"security.syscalls.deny_default",   "false"            },
    {"security.syscalls.intercept.mknod",    "true"         },
    {"security.syscalls.intercept.mount",    "true"         },
    {"security.syscalls.intercept.mount.allowed", "ext4,xfs"},
    {"security.syscalls.intercept.mount.fuse", "ext3=fuse2fs,ntfs=/bin/ntfs-3g"},
    {"security.syscalls.intercept.mount.shift", "true"      },
    {"security.syscalls.intercept.sched_setscheduler", "true"},
    {"security.syscalls.intercept.setxattr", "true"         },
    {"security.syscalls.intercept.sysinfo",  "false"        },
    {"snapshots.expiry",                 "2w 1d"            },
    {"snapshots.expiry.manual",          "1y"               },
    {"snapshots.pattern",                "auto-%d"          },
    {"snapshots.schedule",               "n: 0 3 * * * keep=7; @hourly"},
    {"snapshots.schedule.stopped",       "true"             },
    {"user.note",                        "two\nlines"       },
    {"volatile.eth0.hwaddr",             "10:66:6a:00:00:01"},
};

QByteArray messageOf(const StringMap &config)
{
    const auto parsed = parseInstanceConfig(config);
    return parsed ? QByteArray("accepted") : QByteArray::fromStdString(parsed.error().message);
}

} // namespace

class TestInstanceConfig : public QObject
{
    Q_OBJECT
private slots:
    void everyRowRoundTrips()
    {
        for (const Key<InstanceConfig> &row : kInstanceKeys) {
            const auto good = std::ranges::find_if(kGood, [&](const auto &each) {
                return row.isPrefix() ? each.first.starts_with(row.prefix()) : each.first == row.name;
            });
            QVERIFY2(good != kGood.end(), std::string(row.name).c_str());
            const StringMap config = {*good};
            const auto typed = parseInstanceConfig(config);
            VERIFY_OK(typed);
            QVERIFY2(formatInstanceConfig(*typed) == config, good->first.c_str());
            const auto again = parseInstanceConfig(formatInstanceConfig(*typed));
            VERIFY_OK(again);
            QVERIFY(*again == *typed);
            QVERIFY(!row.summary.empty());
        }
    }

    void valuesGetTypes()
    {
        const auto config = parseInstanceConfig({
            {"limits.cpu",           "2"  },
            {"limits.memory",        "50%"},
            {"limits.cpu.allowance", "30%"},
            {"security.nesting",     "ON" }
        });
        VERIFY_OK(config);
        QCOMPARE(config->cpu->count, 2U);
        QCOMPARE(config->memory->percent, 50U);
        QCOMPARE(config->cpuAllowance->percent, 30U);
        QVERIFY(*config->nesting);
        QVERIFY(!config->privileged);
    }

    void aSingleCpuIsASet()
    {
        const auto config = parseInstanceConfig({
            {"limits.cpu", "3-3"}
        });
        VERIFY_OK(config);
        QCOMPARE(config->cpu->set, std::vector<std::uint32_t>{3});
        QCOMPARE(QByteArray::fromStdString(formatInstanceConfig(*config)["limits.cpu"]), QByteArray("3-3"));
    }

    void emptyMeansUnset()
    {
        const auto config = parseInstanceConfig({
            {"limits.memory", ""},
            {"user.x",        ""}
        });
        VERIFY_OK(config);
        QVERIFY(!config->memory);
        QVERIFY(config->user.empty());
    }

    void badValuesAreRefused_data()
    {
        QTest::addColumn<QByteArray>("key");
        QTest::addColumn<QByteArray>("value");
        const std::pair<const char *, const char *> kBad[] = {
            {"limits.cpu",                        "0"            },
            {"limits.cpu",                        "3-1"          },
            {"limits.cpu",                        "1,,2"         },
            {"limits.cpu",                        "two"          },
            {"limits.cpu",                        "0-99999999"   },
            {"limits.cpu",                        "-1"           },
            {"limits.cpu.allowance",              "0%"           },
            {"limits.cpu.allowance",              "101%"         },
            {"limits.cpu.allowance",              "25/100"       },
            {"limits.cpu.allowance",              "25ms/2000ms"  },
            {"limits.cpu.allowance",              "0ms/100ms"    },
            {"limits.cpu.nodes",                  "balance"      },
            {"limits.cpu.nodes",                  "1-0"          },
            {"limits.cpu.priority",               "11"           },
            {"limits.cpu.priority",               "-1"           },
            {"limits.memory.swap.priority",       "11"           },
            {"limits.network.priority",           "11"           },
            {"boot.stop.priority",                "first"        },
            {"limits.memory",                     "lots"         },
            {"limits.memory",                     "512"          },
            {"limits.memory",                     "-1GiB"        },
            {"limits.memory",                     "0%"           },
            {"limits.memory.enforce",             "maybe"        },
            {"limits.memory.swap",                "some"         },
            {"limits.memory.oom_priority",        "1001"         },
            {"limits.disk.priority",              "11"           },
            {"limits.hugepages.2MB",              "many"         },
            {"boot.host_shutdown_action",         "stateful-stop"},
            {"linux.kernel_modules",              "a;b"          },
            {"linux.kernel_modules",              "-r"           },
            {"raw.idmap",                         "both 1000"    },
            {"raw.idmap",                         "all 1000 1000"},
            {"raw.idmap",                         "both 0 0"     },
            {"raw.idmap",                         "uid 1-3 1-4"  },
            {"raw.idmap",                         "both 1000 1000\nuid 1000 2000"},
            {"raw.idmap",                         "both 1000 1000\ngid 2000 1000"},
            {"limits.processes",                  "0"            },
            {"limits.processes",                  "4294967296"   },
            {"limits.kernel.nofile",              "10:5"         },
            {"limits.kernel.nofile",              "10:"          },
            {"limits.kernel.files",               "10"           },
            {"boot.autostart",                    "maybe"        },
            {"boot.autostart.delay",              "-1"           },
            {"boot.autostart.priority",           "1.5"          },
            {"security.idmap.size",               "1000"         },
            {"security.idmap.base",               "0"            },
            {"security.syscalls.deny",            "mount errno 1"},
            {"security.syscalls.deny",            "mount;reboot" },
            {"environment.A=B",                   "x"            },
            {"environment.1A",                    "x"            },
            {"linux.sysctl.kernel.core_pattern",  "|/bin/sh"     },
            {"linux.sysctl.vm.overcommit_memory", "1"            },
            {"linux.sysctl.net.ipv4../../x",      "1"            },
            {"linux.sysctl./net.x",               "1"            },
            {"user.a b",                          "x"            },
        };
        for (const auto &[key, value] : kBad)
            QTest::newRow(qPrintable(QByteArray(key) + "=" + value)) << QByteArray(key) << QByteArray(value);
        QTest::newRow("NUL in a value") << QByteArray("user.x") << QByteArray("a\0b", 3);
        QTest::newRow("broken UTF-8") << QByteArray("user.x") << QByteArray("\xff");
    }
    void badValuesAreRefused()
    {
        QFETCH(QByteArray, key);
        QFETCH(QByteArray, value);
        VERIFY_FAILS(Code::Invalid, parseInstanceConfig({
                                        {key.toStdString(), value.toStdString()}
        }));
        VERIFY_FAILS(Code::Invalid, checkInstanceKey(key.toStdString(), value.toStdString()));
    }

    void errorsNameKeyAndValue()
    {
        QCOMPARE(messageOf({
                     {"limits.memory", "lots"}
        }),
                 QByteArray("limits.memory: 'lots' is not a size (for example 512MiB, 2GB or 1048576)"));
        QCOMPARE(messageOf({
                     {"limits.memroy", "1GiB"}
        }),
                 QByteArray("unknown configuration key 'limits.memroy' (did you mean 'limits.memory'?)"));
        QCOMPARE(messageOf({
                     {"colour", "blue"}
        }),
                 QByteArray("unknown configuration key 'colour'"));
        QCOMPARE(messageOf({
                               {"linux.sysctl.vm.swappiness", "1"}
        })
                     .left(47),
                 QByteArray("linux.sysctl.vm.swappiness: 'vm.swappiness' is "));
    }

    void allErrorsAreToldAtOnce()
    {
        const QByteArray message = messageOf({
            {"limits.cpu",    "x"},
            {"limits.memory", "y"},
            {"nonsense.key",  "1"}
        });
        QVERIFY2(message.contains("limits.cpu") && message.contains("limits.memory") &&
                     message.contains("nonsense.key"),
                 message);
    }

    void keysOfOthersAreRefusedByName()
    {
        for (const std::string_view pattern : kUnsupportedInstanceKeys) {
            std::string name(pattern);
            if (name.back() == '*')
                name.replace(name.size() - 1, 1, "x");
            const auto parsed = parseInstanceConfig({
                {name, "1"}
            });
            VERIFY_FAILS(Code::Unsupported, parsed);
            QCOMPARE(
                QByteArray::fromStdString(parsed.error().message),
                QByteArray::fromStdString("configuration key '" + name + "' is not supported yet by this version"));
        }
        QCOMPARE(
            messageOf({
                {"security.syscalls.blacklist", "x"}
        }),
            QByteArray("configuration key 'security.syscalls.blacklist' is an old name; use 'security.syscalls.deny'"));
    }

    void nothingIsBothSupportedAndNot()
    {
        for (const std::string_view pattern : kUnsupportedInstanceKeys)
            QVERIFY2(findInstanceKey(pattern) == nullptr, std::string(pattern).c_str());
        for (const RenamedKey &renamed : kRenamedInstanceKeys)
            QVERIFY(findInstanceKey(renamed.now) != nullptr && findInstanceKey(renamed.old) == nullptr);
    }

    void keysThatMustNotMeetAreRefused()
    {
        VERIFY_FAILS(Code::Invalid, parseInstanceConfig({
                                        {"security.syscalls.allow", "read" },
                                        {"security.syscalls.deny",  "write"}
        }));
        VERIFY_FAILS(Code::Invalid, parseInstanceConfig({
                                        {"security.privileged", "true" },
                                        {"security.idmap.size", "65536"}
        }));
        VERIFY_FAILS(Code::Unsupported, parseInstanceConfig({
                                            {"security.idmap.isolated", "false"}
        }));
    }

    void profilesHaveNoInstanceKeys()
    {
        VERIFY_FAILS(Code::Invalid, parseInstanceConfig(
                                        {
                                            {"volatile.x", "1"}
        },
                                        Holder::Profile));
        VERIFY_FAILS(Code::Invalid, parseInstanceConfig(
                                        {
                                            {"image.os", "1"}
        },
                                        Holder::Profile));
    }

    void volatileKeysAreTheDaemons()
    {
        const StringMap before = {
            {"volatile.eth0.host_name", "veth1"},
            {"volatile.uuid",           "u"    }
        };
        VERIFY_OK(checkVolatileKept(before, before));
        VERIFY_OK(checkVolatileKept(before, {
                                                {"user.x", "1"}
        }));
        VERIFY_FAILS(Code::Invalid, checkVolatileKept(before, {
                                                                  {"volatile.eth0.host_name", "eth0"}
        }));
        VERIFY_FAILS(Code::Invalid, checkVolatileKept(before, {
                                                                  {"volatile.eth1.host_name", "eth0"}
        }));
        QCOMPARE(withoutVolatile({
                                     {"volatile.base_image", "f"},
                                     {"volatile.uuid",       "u"},
                                     {"user.x",              "1"}
        })
                     .size(),
                 std::size_t{2});
    }

    void boundsHold()
    {
        StringMap many;
        for (int i = 0; i < 5000; ++i)
            many["user." + std::to_string(i)] = "x";
        VERIFY_FAILS(Code::Invalid, parseInstanceConfig(many));
        VERIFY_FAILS(Code::Invalid, parseInstanceConfig({
                                        {"user." + std::string(300, 'x'), "1"}
        }));
        VERIFY_FAILS(Code::Invalid, parseInstanceConfig({
                                        {"user.big", std::string(600 * 1024, 'x')}
        }));
    }

    void applyIsKnown()
    {
        QVERIFY(appliesLive("limits.memory"));
        QVERIFY(appliesLive("user.anything"));
        QVERIFY(!appliesLive("security.nesting"));
        QCOMPARE(QByteArray::fromStdString(std::string(findInstanceKey("limits.kernel.nofile")->name)),
                 QByteArray("limits.kernel.*"));
    }

    void laterProfilesWinAndDevicesAreReplacedWhole()
    {
        ProfileDocument base, web;
        base.config = {
            {"limits.cpu", "1"   },
            {"user.a",     "base"}
        };
        base.devices = {
            {"root", {{"type", "disk"}, {"path", "/"}, {"pool", "default"}}     },
            {"eth0", {{"type", "nic"}, {"network", "lxmgrbr0"}, {"mtu", "1400"}}}
        };
        web.config = {
            {"limits.cpu", "2"},
            {"user.empty", "" }
        };
        const std::vector<ProfileDocument> profiles = {base, web};
        const DeviceMap own = {
            {"eth0", {{"type", "none"}}}
        };
        const Expanded expanded = expand(profiles,
                                         {
                                             {"user.a", "own"}
        },
                                         own);
        QCOMPARE(expanded.config, (StringMap{
                                      {"limits.cpu", "2"  },
                                      {"user.a",     "own"}
        }));
        QCOMPARE(expanded.devices.at("eth0"), (StringMap{
                                                  {"type", "none"}
        }));
        const auto effective = parseEffective(expanded);
        VERIFY_OK(effective);
        QCOMPARE(effective->config.cpu->count, 2U);
        QCOMPARE(QByteArray::fromStdString(rootDisk(effective->devices)->name), QByteArray("root"));
    }
};

QTEST_APPLESS_MAIN(TestInstanceConfig)
#include "tst_instance_config.moc"
