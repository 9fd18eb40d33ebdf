"""Which lab tests run in one pytest, because they share a lab, a site or a base system; each group runs beside others.

A file belongs to one group (test/unit/project/test_run_tests.py). The longest groups come first: a run without the
record of an earlier one (dev/run_tests.py) starts them in this order.
"""

GROUPS = {
    'team': ['test_team.py'],
    'doctor': ['test_doctor.py'],
    'machines-site': ['test_machines_site.py'],
    'machines-changes': ['test_machines_changes.py'],
    'ros': ['test_ros.py', 'test_robot_moves.py', 'test_names.py', 'test_tailscale_releases.py'],
    'policy': ['test_policy_real.py', 'test_invitations_real.py'],
    'prepare': ['test_prepare_systemd.py'],
    'machines-relay': ['test_machines_relay.py'],
    'site': ['test_site.py', 'test_site_server.py', 'test_imported_certificate.py'],
    'machines-unit': ['test_machines_unit_tests.py'],
    'localapi': ['test_localapi.py', 'test_tailscale_daemon.py', 'test_architectures.py'],
    'proxy': ['test_proxy.py'],
    'proof': ['test_leaks.py'],
    'refusals': ['test_join_refusals.py'],
    'site-life': ['test_site_life.py'],
    'machines-proxy': ['test_machines_proxy.py'],
    'measure': ['test_measure_run.py', 'test_measure_video.py'],
    'watcher': ['test_localapi_watcher.py'],
    'relays': ['test_relays_loopback.py'],
    'server-service': ['test_server_service.py'],
    'service': ['test_service.py'],
    'measure-machines': ['test_measure_machines.py'],
    'trust': ['test_trust_real.py', 'test_team_roscore.py', 'test_local_roscore.py'],
    'ros-load': ['test_ros_load.py'],
    'campus': ['test_campus.py'],
    'two-hosts': ['test_two_hosts.py'],
    'lab': ['test_lab_lifecycle.py', 'test_lab_links.py', 'test_lab_machines.py'],
    'guard': ['test_guard.py', 'test_manage_daemon.py'],
    'server-killed': ['test_server_killed.py'],
    'encryption': ['test_encryption.py'],
    'main-job': ['test_main_job.py'],
    'playbook': ['test_playbook_inventory.py'],
    'lab-hosts': ['test_lab_cli.py', 'test_lab_running_control.py', 'test_lab_running_hosts.py',
                  'test_lab_running_network.py'],
    'power-cuts': ['test_power_cuts.py'],
}
