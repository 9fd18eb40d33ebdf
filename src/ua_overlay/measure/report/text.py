"""The parts of a report in their order, for the writers of HTML and PDF alike."""
from ua_overlay import link_types
from ua_overlay.measure.report import data as report_data
from ua_overlay.measure.report import encryption, figures, long, processor, stats
from ua_overlay.measure.report.parts import Part, Picture, Table, numbered, shown, text, words

#: What the source study published. It measured on its campus, at other places, with other versions: not this campaign.
STUDY = {'tcp': '39.30 %', 'rtt': '35.25 %', 'udp_lost': '0 %'}
#: Of what was left out over days, so much is in the report.
MOST_LEFT_OUT = 50
FORMULAS = ('throughput loss % = (raw - overlay) / raw * 100', 'RTT increase % = (overlay - raw) / raw * 100')


def parts(data):
    """The parts of the report of a report_data.Data (list of Part); what was not measured has none."""
    made = [long.part(data), _beside_study(data), _by_link(data), _against_raw(data)]
    # What a monitor limits to a rate and to moments has no course of its own.
    made += [None if data.monitored else _over_time(data), _map(data)]
    made += [_metric(data, *each) for each in (
        ('tcp', 'TCP throughput by place', 'a second of iperf3, as its sender counts'),
        ('rtt', 'Round trip by place', 'a ping'),
        ('jitter', 'Jitter by place', 'a run of iperf3'), ('udp_lost', 'UDP loss by place', 'a run of iperf3'),
        ('age', 'Age of ROS messages', 'a message; hosts with clocks of their own add the error of the clocks'),
        ('service', 'Calls of a ROS service', 'a call'))]
    made += [processor.part(data), encryption.part(data.encryption)]
    return [_what(data)] + [part for part in made if part] + [_left_out(data), _all(data), _method(data)]


def title(data):
    return 'Overlay measurements: {}'.format(data.campaign.get('name') or 'campaign')


def _what(data):
    campaign = data.campaign
    machine = campaign.get('machine') or {}
    items = []
    if data.synthetic:
        items.append('SYNTHETIC: these numbers were made up by a test. Nobody measured them.')
    if data.only:
        items.append('Of {} places of the campaign this report has {}.'.format(len(data.places), ' and '.join(
            (data.places.get(name) or {}).get('name', name) for name in data.only)))
    items.append('{} samples were taken, {} of them are used here; started {}, last {}.'.format(
        len(data.samples), len(data.good), campaign.get('start', '?'),
        max((each['started'] for each in data.samples), default='?')))
    if data.emulated:
        items.append(
            'These links are EMULATED: all hosts are name spaces of one machine, which share its processors. A program '
            'delays, drops and reorders packets, and the kernel limits the rate, as the campaign says. So differences '
            'and ratios inside this report hold for links of this shape; absolute numbers are those of the emulator '
            'and this machine, not of a campus, of its Wi-Fi or of a robot.')
        rows = sorted({(host, ', '.join('{} {}'.format(*item) for item in sorted(shape.items())))
                       for each in data.samples for host, shape in each['link'].items()})
        if rows:
            items.append(Table('Links as the emulator was told; a delay counts in each direction', ('host', 'link'),
                               tuple(rows)))
    else:
        items.append('The links were those that the hosts have; nothing emulated them.')
    facts = [('machine that ran the campaign', machine.get('hostname')), ('processors', machine.get('processors')),
             ('kernel', campaign.get('kernel')), ('error of the clocks / ms', campaign.get('clock_error_ms'))]
    facts += _versions(campaign.get('versions') or {}) + _settings(data)
    items.append(Table('Where and with what', ('', ''), tuple((name, text(value)) for name, value in facts)))
    return Part('What was measured', tuple(items))


def _versions(versions):
    """[(program on which hosts, version)]: hosts that have the same stand together."""
    hosts = {}
    for host, programs in sorted(versions.items()):
        for program, version in sorted(programs.items()):
            hosts.setdefault((program, version), []).append(host)
    return [('{} on {}'.format(program, ', '.join(names)), version) for (program, version), names in sorted(
        hosts.items())]


def _settings(data):
    """[(settings of which tool, words)]: the path's MTU, which differs between raw and overlay, at the end."""
    found = {}
    for each in data.good:
        said = ', '.join('{} {}'.format(key, int(value) if isinstance(value, float) and value.is_integer() else value)
                         for key, value in sorted(each['settings'].items()) if key != 'mtu' and value not in (None, ''))
        found.setdefault((each['tool'], said), set()).add(each['settings'].get('mtu'))
    return [('settings of ' + tool, ', '.join(filter(None, [said] + ['MTU {}'.format(' or '.join(map(str, sorted(
        mtus - {None})))) if mtus - {None} else '']))) for (tool, said), mtus in sorted(found.items())]


def _beside_study(data):
    rows = []
    for key, name in (('tcp', 'TCP throughput loss'), ('rtt', 'RTT increase')):
        for variant, _ in data.variants(key):
            for label, (change, places) in data.overall(key, variant).items():
                rows.append((words(name, variant), label, shown(change.percent, '%'),
                             shown(change.absolute, report_data.METRICS[key].unit), str(places), STUDY[key]))
    for variant, found in data.variants('udp_lost'):
        for label in report_data.LABELS:
            values = [value for row in found if row.group.label == label for value in row.group.values(row.metric)]
            if values:
                rows.append((words('UDP loss', variant), label, shown(stats.estimate(values), '%'), '-',
                             str(len([row for row in found if row.group.label == label])), STUDY['udp_lost']))
    if not rows:
        return None
    return Part('Beside the study', (
        'The last column is what the study published for its own campus, places and versions (eleven places, all '
        'relayed but the lab itself). It is no measurement of this campaign. The formulas are the study\'s: {}; {}. '
        'A percentage alone misleads: on a short way a fraction of a millisecond is a large share, so the '
        'difference itself stands beside it.'.format(*FORMULAS),
        'Headers alone cost {:.2f} % of TCP throughput in WireGuard (MTU {} instead of {}, IPv4), and {:.1f} % on one '
        'leg to a DERP relay; twice that share of the medium is used where both legs are on the same Wi-Fi.'.format(
            stats.header_floor(data.overlay_efficiency, data.raw_efficiency), data.mtu(report_data.OVERLAY),
            data.mtu(report_data.RAW), stats.header_floor(data.derp_efficiency, data.raw_efficiency)),
        Table('Mean over places of each place\'s change of medians, with 95 % interval; UDP loss: median of all runs',
              ('', 'link', 'here', 'here, difference', 'places', 'the study, its own'), tuple(rows))))


def _by_link(data):
    return _two(data, '{} and raw'.format(', '.join(link_types.CARRYING)), 'links', figures.by_link,
                bool, 'Above, each mark is one repetition and all places stand together; a place keeps its own way '
                'and link, so compare with care where places differ. Below, each place is compared with its own raw '
                'network; bars are 95 % intervals.')


def _against_raw(data):
    return _two(data, 'Raw against overlay', 'raw-overlay', figures.against_raw,
                lambda rows: any(row.change for row in rows),
                'Medians of the repetitions with 95 % intervals, and the change from raw to overlay in per cent and in '
                'the unit.')


def _two(data, heading, name, draw, select, caption):
    pictures, trips = [], next((rows for _, rows in data.variants('rtt') if select(rows)), [])
    throughputs = [(variant, rows) for variant, rows in data.variants('tcp') if select(rows)]
    for number, (variant, rows) in enumerate(throughputs or ([('', [])] if trips else [])):
        pictures.append(Picture(numbered(name, number), words(caption, variant),
                                lambda rows=rows: draw(data, rows, trips)))
    return Part(heading, tuple(pictures)) if pictures else None


def _over_time(data):
    shown = []
    for variant, rows in data.variants('tcp'):
        places = figures.places_of(rows)
        shown += [(variant, [row for row in rows if row.group.place in places[first:first + figures.MOST_PANELS]])
                  for first in range(0, len(places), figures.MOST_PANELS)]
    pictures = [Picture(numbered('throughput-time', number), words(
        'Lines: median of the repetitions in each second, as the sender counts. Bands: half of the repetitions (25 to '
        '75 %).', variant),
        lambda rows=rows: figures.over_time(data, rows)) for number, (variant, rows) in enumerate(shown)]
    return Part('Throughput over time', tuple(pictures)) if pictures else None


def _map(data):
    rows = [row for row in data.rows('rtt') if row.group.label != report_data.RAW]
    if not any('x' in (data.places.get(row.group.place) or {}) for row in rows):
        return None
    return Part('Map', (Picture('map', 'Median round trip over the overlay at each place, by the coordinates of the '
                                'campaign; where a place has several links, the shortest.',
                                lambda: figures.on_map(data, rows)),))


def _metric(data, key, heading, single):
    pictures = [Picture(numbered(key, number), words(
        'Boxes: middle half of the single measurements ({}), whiskers 5 to 95 %. Marks beside them: median of the '
        'repetitions with its 95 % interval; n counts repetitions.'.format(single), variant),
        lambda rows=rows: figures.by_place(data, rows)) for number, (variant, rows) in enumerate(data.variants(key))]
    return Part(heading, tuple(pictures)) if pictures else None


def _left_out(data):
    if not data.left_out:
        return Part('What was left out', ('No sample was left out: none failed, and none went another way than its '
                                          'label says.',))
    rows = tuple((each['id'], each['status'], each['problem'] or '-') for each in data.left_out[-MOST_LEFT_OUT:])
    more = ' (the last {}; samples.csv has all)'.format(MOST_LEFT_OUT) if len(data.left_out) > MOST_LEFT_OUT else ''
    return Part('What was left out', (
        'A sample is excluded when the counters of tailscaled say that its bytes went another way than its label; it '
        'failed when the tool gave no number. Neither is in any figure.',
        Table('{} of {} samples{}'.format(len(data.left_out), len(data.samples), more), ('sample', 'status', 'why'),
              rows)))


def _all(data):
    rows = []
    for metric in report_data.METRICS.values():
        for row in data.rows(metric.key):
            change = row.change
            rows.append((words(metric.name, row.group.variant), data.place_name(row.group),
                         row.group.label, str(row.estimate.n), shown(row.estimate, metric.unit),
                         shown(change.percent, '%') if change else '-',
                         shown(change.absolute, metric.unit) if change else '-'))
    few = [row for metric in report_data.METRICS for row in data.rows(metric) if row.estimate.n < stats.FEW]
    warning = ('Some have fewer than {} repetitions: their intervals say little.'.format(stats.FEW),) if few else ()
    return Part('All numbers', warning + (
        Table('Medians of repetitions with 95 % intervals; changes against the raw network of the same place, positive '
              'is worse', ('', 'place', 'link', 'n', 'median', 'change', 'difference'), tuple(rows)),))


def _method(data):
    return Part('How the numbers were made', (
        'A repetition gives one number: the mean throughput of iperf3, the median of its round trips, the jitter of '
        'its UDP run. n counts repetitions. Intervals are percentile bootstraps over repetitions ({} draws, fixed '
        'seed): packets of one run are not independent of each other and are not counted as if they were. Places are '
        'not drawn: an interval of a mean over places is that of these places.'.format(stats.RESAMPLES),
        'Header floor: TCP over IPv4 carries {:.2f} % of an Ethernet\'s bits as data raw (MTU {}, time stamps) and '
        '{:.2f} % inside WireGuard (MTU {}). "Link capacity less headers" in figures is the rate that the slower '
        'emulated link of the two ends was told, times that share; a rate limiter that does not count Ethernet\'s gaps '
        'and check sums lets a little more through.'.format(
            100 * data.raw_efficiency, data.mtu(report_data.RAW), 100 * data.overlay_efficiency,
            data.mtu(report_data.OVERLAY))))
