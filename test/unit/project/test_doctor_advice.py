"""Which test types which advice of the checks. A new one fails here until it is typed, or has a reason."""
import ast
import glob
import os
import re

import pytest
from paths import ROOT

#: A text that begins so is a command line.
COMMAND = re.compile(r'(sudo |ua-overlay |yes \||kill |unset |df |ls |journalctl |resolvectl |echo |getent )')
#: A word that begins a reason; anything else names a test of test/lab/test_doctor.py.
NOT_HERE = ('Elsewhere', 'Pointer', 'Choice', 'Clock', 'Looks')
#: Advice -> the lab test that makes its fault, types it, and sees the finding gone; or why none does.
TYPED = {
    # Typed by test/lab/test_doctor.py.
    'ua-overlay exec --local roslaunch ua_overlay overlay.launch':
        'test_the_master_runs_no_roscore_then_somebodys_roslaunch',
    'sudo kill {}': 'test_the_master_runs_no_roscore_then_somebodys_roslaunch',
    'kill {0}; tail --pid={0} -f /dev/null; ua-overlay exec --wait ':
        'test_the_master_runs_no_roscore_then_somebodys_roslaunch',
    'ua-overlay doctor   # on {}': 'test_the_master_runs_no_roscore_then_somebodys_roslaunch',
    'kill -9 {}   # overlay.launch starts it again': 'test_a_node_that_hangs',
    'sudo systemctl restart tailscaled ua-overlay-agent   # then: getent ahostsv4 {}': 'test_resolv_conf_overwritten',
    'sudo systemctl restart tailscaled': 'test_resolv_conf_overwritten',
    'sudo systemctl restart tailscaled ua-overlay-agent   # on {0}; there, {1} must resolve':
        'test_the_master_cannot_resolve_our_name',
    'sudo mv {state} {state}.damaged; sudo systemctl restart tailscaled; ua-overlay doctor': 'test_a_damaged_state',
    'ua-overlay robot remove {0}; ua-overlay invite {1} {0}   # on the server, then here: ua-overlay join INVITATION':
        'test_a_damaged_state',
    'ua-overlay invite {} {}   # on the server, then here: ua-overlay join INVITATION':
        'test_a_removed_robot_comes_back',
    'sudo tailscale set --netfilter-mode=off': 'test_the_daemons_own_health',
    'sudo tailscale set --shields-up=false': 'test_tailscaled_refuses_connections',
    'sudo ua-overlay robot mtu {}   # then start running nodes again': 'test_an_interface_that_is_too_small',
    'yes | ua-overlay exec rosnode cleanup': 'test_nodes_of_a_robot_that_lost_power',
    'yes | ROS_MASTER_URI={} rosnode cleanup': 'test_nodes_of_other_graphs',
    'unset ROS_MASTER_URI ROS_HOSTNAME ROS_IP; eval "$(ua-overlay env --shell)"':
        'test_lan_address_with_the_overlays_master',
    'kill {}; ua-overlay exec ': 'test_node_of_a_former_master',
    'kill -9 {}; ua-overlay exec ': 'test_nodes_of_other_graphs',
    'ua-overlay join': 'test_leave_and_rejoin',
    # Typed by other lab tests.
    'ua-overlay join INVITATION': 'Elsewhere: test_main_job.py joins so.',
    'ua-overlay leave --new-identity   # on the copy; then here: ua-overlay leave; ua-overlay join':
        'Elsewhere: test_site_life.py, the copied robot.',
    'ua-overlay server rotate-ca start   # on the server': 'Elsewhere: test_machines_changes.py changes the CA so.',
    'ua-overlay server renew   # on the server': 'Elsewhere: test_site_server.py renews so.',
    'sudo ua-overlay policy cgnat-lans on   # on the server':
        'Elsewhere: test_prepare_systemd.py, a carrier in the overlay\'s range.',
    'sudo ua-overlay robot prepare --user "$USER"': 'Elsewhere: test_prepare_systemd.py prepares so.',
    'sudo ua-overlay robot prepare --user "$USER"   # if the kernel has nftables or iptables':
        'Elsewhere: test_prepare_systemd.py prepares so.',
    'sudo systemctl restart ':
        'Elsewhere: test_service.py restarts units; a unit of a robot\'s owner starts its own nodes.',
    'sudo systemctl stop {}':
        'Elsewhere: systemd stops what it started; the lab\'s hosts have no unit that holds a port.',
    'sudo systemctl restart {}':
        'Elsewhere: test_prepare_systemd.py types it, for an agent that is stopped and for one that hangs.',
    'sudo kill -9 {}; sudo ua-overlay robot agent --user "$USER"':
        'Elsewhere: without systemd; test_instance.py has a second agent start after a kill -9 of the first.',
    # Nobody can say it better from here.
    'ua-overlay status': 'Pointer: tailscaled waits for the server; `server` has the finding to act on.',
    'ua-overlay robot list   # on the server': 'Pointer: whether the robot was removed is known on the server only.',
    'sudo ua-overlay doctor': 'Pointer: root sees the process, and the next line names it (test above).',
    'kill {}; ua-overlay exec COMMAND': 'Choice: the command line of a process that has just ended is unknown.',
    'ua-overlay exec rosnode kill {}; ua-overlay exec COMMAND':
        'Choice: the node runs on another machine, whose doctor has its command line.',
    'sudo systemctl cat {0}   # mend what it exports, or the script that it runs; then: sudo systemctl daemon-reload; '
    'sudo systemctl restart {0}': 'Choice: what a unit of the robot\'s owner exports is the owner\'s to change.',
    'ua-overlay robot move {} TEAM   # on the server': 'Choice: which team is the administrator\'s decision.',
    'ua-overlay robot remove {0}; ua-overlay invite {1} {0}   # on the server, and join on {0}':
        'Choice: which of two machines gets another address; the same commands as in test_a_damaged_state.',
    'ua-overlay leave --forget   # here; then on the server: ua-overlay robot remove {0}; ua-overlay invite {1} {0}':
        'Choice: as above, for this robot.',
    'df -h {0}; sudo du -xah {0} | sort -h | tail   # then remove what is not needed':
        'Choice: which files go is the owner\'s decision; observe/test_disks.py has a full tmpfs.',
    'ls -la {}': 'Looks: envfile names the problem; whose file it is decides what to do.',
    'journalctl -u tailscaled -n 50': 'Looks: words of tailscaled that this version does not know.',
    'journalctl -u {} -n 50': 'Looks: the root service itself failed; its log has the traceback for a report.',
    'sudo ss -xlp | grep -F ua_overlay/agent   # then end that process, and start it again':
        'Looks: without systemd; only the kernel tells whose process does not answer.',
    'sudo ls -l /proc/{}/fd/2   # where its log goes': 'Looks: as above, without systemd.',
    'resolvectl status; cat /etc/resolv.conf': 'Looks: the name servers of the robot\'s own network do not answer.',
    'sudo nft list ruleset   # does a rule drop UDP {}?': 'Choice: which rule goes is decided by who made it.',
    'sudo nft list ruleset   # here and on {}: does a rule drop UDP?':
        'Choice: as above; or the access point\'s owner.',
    'ua-overlay policy show   # on the server; if its rules allow it, on {}: sudo nft list ruleset':
        'Choice: which rule changes is decided by who made it, in site.yaml or on that robot.',
    'sudo nft list ruleset; sudo iptables -S   # and on the server: ua-overlay policy show':
        'Choice: as above; test_own_firewall_blocks_incoming_connections has such a rule.',
    'sudo date -s "{:.0f} seconds{}"   # once; `Clocks` in docs/operate.md keeps it right':
        'Clock: the hosts of a lab share the clock of this machine; test_server.py has `date` read the words.',
    'sudo apt install -y chrony; echo "server {} iburst prefer" | sudo tee -a /etc/chrony/chrony.conf; sudo systemctl '
    'restart chrony   # on each of them': 'Clock: as above; `Clocks` in docs/operate.md has the other end.',
    'ua-overlay server init --name FQDN --port {}   # on a new server':
        'Choice: a site for robots behind proxies is planned, not repaired.',
}


def advice():
    """{command line: module} of every command line in the checks."""
    found = {}
    for path in sorted(glob.glob(os.path.join(ROOT, 'src', 'ua_overlay', 'checks', '*.py'))):
        if os.path.basename(path) == 'table.py':
            continue
        with open(path, encoding='utf-8') as stream:
            tree = ast.parse(stream.read())
        documented = {id(node.body[0].value) for node in ast.walk(tree)
                      if isinstance(node, (ast.Module, ast.FunctionDef, ast.ClassDef))
                      and isinstance(node.body[0], ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documented and \
                    COMMAND.match(node.value):
                found[node.value] = os.path.basename(path)
    return found


def lab_tests():
    """{name of a lab test of the doctor: its source}."""
    with open(os.path.join(ROOT, 'test', 'lab', 'test_doctor.py'), encoding='utf-8') as stream:
        text = stream.read()
    return {node.name: ast.get_source_segment(text, node) for node in ast.parse(text).body
            if isinstance(node, ast.FunctionDef)}


@pytest.mark.fault('K7', 'The advice of a finding does not help',
                   behaviour='a lab test makes each fault, types the line and sees the finding gone, or has a reason',
                   reported='-', recovery='-', lost='nothing')
def test_every_advice_is_typed_or_has_a_reason():
    found = advice()
    assert not set(found) - set(TYPED), 'new advice: ' + '; '.join(sorted(set(found) - set(TYPED)))
    assert not set(TYPED) - set(found), 'gone: ' + '; '.join(sorted(set(TYPED) - set(found)))


def test_the_named_tests_type():
    tests = lab_tests()
    for line, who in TYPED.items():
        if who.split(':')[0] in NOT_HERE:
            assert re.match(r'[A-Z][a-z]+: .+\.\Z', who), who
            continue
        source = tests[who]
        assert 'type_it(' in source or 'fitted(' in source, (line, who)
        assert 'wait_gone(' in source or 'wait_healthy(' in source or 'fitted(' in source or "as_root('OK')" in source
