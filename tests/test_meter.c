/* test_meter.c: thermal zones, the firmware's flags and energy meters on made-up trees: what is
 * there is read, what isn't there is not invented, and a counter may begin anew. */
#include "support/made_tree.h"

#include <math.h>
#include <stdlib.h>

#include "cli/cli_meter.h"
#include "cli/cli_sensors.h"

#define RAPL  "sys/class/powercap/intel-rapl:"
#define HWMON "sys/class/hwmon/hwmon"
#define ZONE  "sys/class/thermal/thermal_zone"

/* A tree of its own for each test, empty at first. */
static el_cli_tree *new_tree(const char *name)
{
    static char root[128];
    char command[300];
    el_cli_tree *tree = malloc(sizeof *tree);
    assert_non_null(tree);
    snprintf(root, sizeof root, "%s/%s", EL_TEST_OUT "/meter", name);
    snprintf(command, sizeof command, "rm -rf '%s' && mkdir -p '%s'", root, root);
    assert_int_equal(system(command), 0);
    tree->root = root;
    return tree;
}

static void put(const el_cli_tree *tree, const char *path, const char *text)
{
    put_in_tree(tree->root, path, text);
}

static void assert_near(double value, double wanted)
{
    if (fabs(value - wanted) > 1e-9 * (1 + fabs(wanted)))
        fail_msg("%.12g instead of %.12g", value, wanted);
}

/* ---- sensors ------------------------------------------------------------------------------ */

static void test_nothing_is_invented(void **state)
{
    el_cli_tree *tree = new_tree("empty");
    el_cli_zones zones;
    el_cli_meter m;
    (void)state;
    el_cli_zones_find(tree, &zones);
    assert_int_equal(zones.n, 0);
    assert_true(el_cli_zones_hottest(tree, &zones, NULL) == EL_CLI_UNKNOWN);
    assert_true(el_cli_core_khz(tree, 0) == EL_CLI_UNKNOWN);
    assert_true(el_cli_firmware_throttled(tree) == EL_CLI_UNKNOWN);
    el_cli_meter_find(&m, tree);
    assert_int_equal(m.kind, EL_CLI_METER_NONE);
    assert_string_equal(m.title, "");
    assert_string_equal(m.why, "");
    free(tree);
}

static void test_zones_of_the_processor_count(void **state)
{
    el_cli_tree *tree = new_tree("zones");
    el_cli_zones zones;
    char name[EL_CLI_ZONE_NAME];
    int zone = -1;
    (void)state;
    put(tree, ZONE "0/type", "battery\n");
    put(tree, ZONE "0/temp", "91000\n");
    put(tree, ZONE "2/type", "wifi\n"); /* numbers may be missing */
    put(tree, ZONE "2/temp", "55000\n");
    el_cli_zones_find(tree, &zones);
    assert_int_equal(zones.n, 2);
    assert_true(el_cli_zones_hottest(tree, &zones, &zone) == 91000);
    put(tree, ZONE "3/type", "cpu-thermal\n");
    put(tree, ZONE "3/temp", "61500\n");
    put(tree, ZONE "7/type", "cpu-big-thermal\n");
    put(tree, ZONE "7/temp", "62500\n");
    put(tree, ZONE "8/type", "cpu-dead\n");
    put(tree, ZONE "8/temp", "-274000\n"); /* a sensor that is not there */
    el_cli_zones_find(tree, &zones);
    assert_int_equal(zones.n, 2);
    assert_true(el_cli_zones_hottest(tree, &zones, &zone) == 62500);
    assert_int_equal(zone, 7);
    el_cli_zone_name(tree, zone, name);
    assert_string_equal(name, "cpu-big-thermal");
    put(tree, ZONE "9/temp", "63000\n"); /* says no name */
    el_cli_zones_find(tree, &zones);
    assert_int_equal(zones.n, 3);
    assert_true(el_cli_zones_hottest(tree, &zones, &zone) == 63000);
    put(tree, ZONE "3/temp", "70000\n");
    assert_true(el_cli_zones_hottest(tree, &zones, &zone) == 70000);
    free(tree);
}

static void test_flags_and_clock(void **state)
{
    el_cli_tree *tree = new_tree("flags");
    (void)state;
    put(tree, "sys/devices/platform/soc/soc:firmware/get_throttled", "50005\n");
    put(tree, "sys/devices/system/cpu/cpu3/cpufreq/scaling_cur_freq", "1500000\n");
    assert_true(el_cli_firmware_throttled(tree) == 0x50005);
    assert_true(el_cli_core_khz(tree, 3) == 1500000);
    assert_true(el_cli_core_khz(tree, 0) == EL_CLI_UNKNOWN);
    put(tree, "sys/devices/platform/soc/soc:firmware/get_throttled", "none\n");
    assert_true(el_cli_firmware_throttled(tree) == EL_CLI_UNKNOWN);
    free(tree);
}

/* ---- meters ------------------------------------------------------------------------------- */

static el_cli_tree *rapl_tree(const char *name)
{
    el_cli_tree *tree = new_tree(name);
    put(tree, RAPL "0/name", "package-0\n");
    put(tree, RAPL "0/max_energy_range_uj", "262143328850\n");
    put(tree, RAPL "0/energy_uj", "1000000\n");
    put(tree, RAPL "0:0/name", "core\n"); /* within package-0 */
    put(tree, RAPL "0:0/energy_uj", "500000\n");
    put(tree, RAPL "1/name", "psys\n");
    put(tree, RAPL "1/energy_uj", "7\n");
    return tree;
}

static void test_rapl(void **state)
{
    el_cli_tree *tree = rapl_tree("rapl");
    el_cli_meter m;
    (void)state;
    put(tree, HWMON "0/name", "ina226\n");
    put(tree, HWMON "0/power1_input", "3000000\n");
    el_cli_meter_find(&m, tree);
    assert_int_equal(m.kind, EL_CLI_METER_COUNTER);
    assert_string_equal(m.title, "RAPL package-0");
    assert_int_equal(m.parts, 1);
    el_cli_meter_begin(&m, tree, 0);
    put(tree, RAPL "0/energy_uj", "3500000\n");
    el_cli_meter_read(&m, tree, 1000);
    assert_near(m.joules, 2.5);
    put(tree, RAPL "0/energy_uj", "262143328849\n"); /* near its end ... */
    el_cli_meter_begin(&m, tree, 2000);
    put(tree, RAPL "0/energy_uj", "999999\n"); /* ... and begun anew */
    el_cli_meter_read(&m, tree, 3000);
    assert_near(m.joules, 1.0);
    assert_false(m.lost);
    free(tree);
}

static void test_packages_are_added(void **state)
{
    el_cli_tree *tree = rapl_tree("packages");
    el_cli_meter m;
    (void)state;
    put(tree, RAPL "1/name", "package-1\n");
    put(tree, RAPL "1/max_energy_range_uj", "1000\n");
    put(tree, RAPL "1/energy_uj", "900\n");
    el_cli_meter_find(&m, tree);
    assert_string_equal(m.title, "RAPL package-0 RAPL package-1");
    el_cli_meter_begin(&m, tree, 0);
    put(tree, RAPL "0/energy_uj", "2000000\n");
    put(tree, RAPL "1/energy_uj", "100\n");
    el_cli_meter_read(&m, tree, 1000);
    assert_near(m.joules, 1.0 + 200e-6);
    free(tree);
}

static void test_a_counter_of_hwmon(void **state)
{
    el_cli_tree *tree = new_tree("counter");
    el_cli_meter m;
    (void)state;
    put(tree, HWMON "1/name", "nvme\n");
    put(tree, HWMON "1/power1_input", "99\n"); /* of a disk */
    put(tree, HWMON "4/name", "amd_energy\n");
    put(tree, HWMON "4/energy1_input", "5000000\n");
    el_cli_meter_find(&m, tree);
    assert_int_equal(m.kind, EL_CLI_METER_COUNTER);
    assert_string_equal(m.title, "amd_energy energy1_input");
    el_cli_meter_begin(&m, tree, 0);
    put(tree, HWMON "4/energy1_input", "8000000\n");
    el_cli_meter_read(&m, tree, 10);
    assert_near(m.joules, 3);
    free(tree);
}

/* Watts are summed up over the time between readings, by their mean. */
static void test_a_power_sensor(void **state)
{
    el_cli_tree *tree = new_tree("power");
    el_cli_meter m;
    (void)state;
    put(tree, HWMON "2/name", "ina226\n");
    put(tree, HWMON "2/power1_input", "4000000\n");
    el_cli_meter_find(&m, tree);
    assert_int_equal(m.kind, EL_CLI_METER_POWER);
    assert_true(el_cli_meter_patience(&m) <= 1000);
    el_cli_meter_begin(&m, tree, 5000);
    put(tree, HWMON "2/power1_input", "6000000\n");
    el_cli_meter_read(&m, tree, 5500);
    assert_near(m.joules, 2.5);
    el_cli_meter_read(&m, tree, 7500);
    assert_near(m.joules, 14.5);
    free(tree);
}

static void test_current_and_voltage(void **state)
{
    el_cli_tree *tree = new_tree("product");
    el_cli_meter m;
    (void)state;
    put(tree, HWMON "0/name", "ina3221\n");
    put(tree, HWMON "0/curr1_input", "800\n");
    el_cli_meter_find(&m, tree);
    assert_int_equal(m.kind, EL_CLI_METER_NONE); /* without its voltage */
    put(tree, HWMON "0/in1_input", "5000\n");
    el_cli_meter_find(&m, tree);
    assert_int_equal(m.kind, EL_CLI_METER_PRODUCT);
    el_cli_meter_begin(&m, tree, 0);
    el_cli_meter_read(&m, tree, 500);
    assert_near(m.joules, 2);
    free(tree);
}

/* A meter that is taken away: the sum is not told as if it were whole. */
static void test_a_reading_that_fails(void **state)
{
    el_cli_tree *tree = rapl_tree("failing");
    el_cli_meter m;
    (void)state;
    el_cli_meter_find(&m, tree);
    el_cli_meter_begin(&m, tree, 0);
    put(tree, RAPL "0/energy_uj", "\n");
    el_cli_meter_read(&m, tree, 1000);
    assert_true(m.lost);
    free(tree);
}

/* Who may read everything, as root may, is told nothing here. */
static int refused_in_child(void)
{
    el_cli_tree *tree = rapl_tree("refused");
    el_cli_meter m;
    char path[512];
    snprintf(path, sizeof path, "%s/%s", tree->root, RAPL "0/energy_uj");
    if (chmod(path, 0) != 0 || chmod(tree->root, 0755) != 0) return 2;
    if (geteuid() == 0 && (setegid(65534) != 0 || seteuid(65534) != 0)) return 3;
    el_cli_meter_find(&m, tree);
    const bool right = m.kind == EL_CLI_METER_NONE && strstr(m.title, "package-0") &&
                       strstr(m.why, "energy_uj can be read by root only");
    free(tree);
    return right ? 0 : 4;
}

static void test_a_meter_that_is_for_root(void **state)
{
    (void)state;
    const int status = in_child(refused_in_child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_is_invented),
        cmocka_unit_test(test_zones_of_the_processor_count),
        cmocka_unit_test(test_flags_and_clock),
        cmocka_unit_test(test_rapl),
        cmocka_unit_test(test_packages_are_added),
        cmocka_unit_test(test_a_counter_of_hwmon),
        cmocka_unit_test(test_a_power_sensor),
        cmocka_unit_test(test_current_and_voltage),
        cmocka_unit_test(test_a_reading_that_fails),
        cmocka_unit_test(test_a_meter_that_is_for_root),
    };
    return cmocka_run_group_tests_name("meter", tests, NULL, NULL);
}
